-- include common
-- include change
-- KEYS: all 256 shards. ARGV: <new epoch 16><clock 8>; the layout's version; the ledger's name; the change and its row: see
-- change.lua. It counts what is there, as if that were all there ever was, and makes a head if that is gone. It takes as long as
-- reading the whole ledger does.
local request, layout, name, change, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if #request ~= 24 or #change ~= 40 then return invalid('request') end
local clock = read('>I8', request, 17)
if clock > NEVER or call('EXISTS', unpack(KEYS)) == 0 then return LOST end
local now, head, sequence, latest = moment(clock), call('HGET', ledger, 'h'), 0, 0
if head and #head < 100 then return LOST end
if head then sequence, latest = read('>I8I8', head, 17) end
latest = now > latest and now or latest
local answer = head and judge(change) or 'A'
if answer ~= 'A' then return answer .. pack('>I8I8', sequence, now) end

-- What is found by going through an index is put back into it: the buckets of a window, rows of usage, and reservations to expire.
local fields = call('HKEYS', ledger)
for _, field in ipairs(fields) do
  if #field == 24 then call('ZADD', buckets, '0', field, '0', sub(field, 1, 16)) end
  if #field == 20 then call('ZADD', buckets, '0', string.rep('\255', 16) .. field) end
  if #field == 17 and sub(field, 17) == 'm' then call('ZADD', buckets, '0', sub(field, 1, 16)) end
end
local shards, bits = {}, 0
for b = 0, 255 do
  local key = KEYS[6 + b]
  local all, n = call('HGETALL', key), 0
  for i = 1, #all, 2 do
    if all[i] ~= '' then
      n = n + 1
      if sub(all[i + 1], 17, 17) == 'p' then call('ZADD', due, 'NX', format('%d', read('>I8', all[i + 1], 35)), all[i]) end
    end
  end
  if n > 0 or #all > 0 then
    call('HSET', key, '', pack('>I4', n))
    bits = bits + 2 ^ (b % 8)
  end
  if b % 8 == 7 then shards[#shards + 1], bits = string.char(bits), 0 end
end
local flags = 0
local held = call('HGETALL', kills)
for i = 1, #held, 2 do
  local text, o = held[i + 1], held[i] == 'p' and 17 or 1
  while o < #text do
    local at = o + 1 + 16 * byte(text, o)
    local till = read('>I8', text, at + 8)
    if till > 0 then call('ZADD', due, 'NX', format('%d', till + @FLAGS@ - NEVER), 'k' .. held[i]) end
    flags, o = flags + 1, at + 20 + read('>I4', text, at + 16)
  end
end
note(change, '', row, now)
call('HSET', ledger, 'h', '', 'v', layout, 'n', name, 'a', sub(change, 17, 32), 'j', pack('>I8', now))
seal(recount(head or sub(request, 1, 16) .. string.rep('\0', 84)), sequence + 1, latest, flags, table.concat(shards), pack('>I8', 0))
return 'A' .. pack('>I8I8', sequence + 1, now)
