-- include common
-- KEYS: all 256 shards. ARGV: action, a new epoch of 16 bytes, the layout's version, the name of the ledger, <clock 8>. Action i inspects: it
-- returns the head or nothing, the time, the layout's version, whether remains of a ledger are there, what INFO tells, and which loss
-- was accepted last. Action c makes the ledger unless there is one. Action u brings a ledger of an earlier layout up to date; its new
-- epoch shuts out the processes that know those layouts alone.
local action, epoch, layout, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if #epoch ~= 16 or #ARGV[5] ~= 8 then return invalid('request') end
local clock = read('>I8', ARGV[5])
if clock > NEVER then return invalid('request') end
local head, version, accepted = unpack(call('HMGET', ledger, 'h', 'v', 'a'))
local remains = head and 1 or call('EXISTS', unpack(KEYS))
if action == 'c' and remains == 0 then
  call('HSET', ledger, 'h', '', 'v', layout, 'n', name, 'j', pack('>I8', moment(clock)))
  seal(recount(epoch .. string.rep('\0', 84)), 1, 0, 0, string.rep('\0', 32), pack('>I8', 0))
  head, version, remains = call('HGET', ledger, 'h'), layout, 1
elseif action == 'u' and (version == '1' and #head == 40 or version == '2' and #head == 100) then
  -- Flags had no end.
  local held = call('HGETALL', kills)
  for i = 1, #held, 2 do
    local text, all, o = held[i + 1], {}, 1
    while o < #text do
      local at = o + 1 + 16 * byte(text, o)
      local ends = at + 12 + read('>I4', text, at + 8)
      all[#all + 1], o = sub(text, o, at + 7) .. pack('>I8', 0) .. sub(text, at + 8, ends - 1), ends
    end
    call('HSET', kills, held[i], table.concat(all))
  end
  local sequence, latest, flags = read('>I8I8I8', head, 17)
  if version == '2' then
    head = epoch .. pack('>I8', sequence + 1) .. sub(head, 25) -- the counts are those of before, so that what was lost stays so
    call('HSET', ledger, 'v', layout, 'h', head)
    return {head, format('%d', moment(0)), layout, '1', '', accepted or ''}
  end
  local shards = {}
  for first = 6, #KEYS, 8 do
    local bits = 0
    for k = first, first + 7 do
      local n = call('HLEN', KEYS[k])
      if n > 0 then
        call('HSET', KEYS[k], '', pack('>I4', n))
        bits = bits + 2 ^ (k - first)
      end
    end
    shards[#shards + 1] = string.char(bits)
  end
  call('HSET', ledger, 'v', layout, 'j', pack('>I8', moment(clock)))
  seal(recount(epoch .. string.rep('\0', 84)), sequence + 1, latest, flags, table.concat(shards), pack('>I8', 0))
  head, version = call('HGET', ledger, 'h'), layout
end
local info = action == 'i' and redis.pcall('INFO') or ''
if type(info) == 'table' then info = '' end
return {head or '', format('%d', moment(0)), version or '', remains > 0 and '1' or '0', info, accepted or ''}
