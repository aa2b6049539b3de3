-- include common
-- include entry
-- KEYS: the shards to look through, in order. ARGV: <epoch 16><after 16><seen 8><clock 8><max 8><most 8><state 1><estimated 1><first shard 1>,
-- where the state is a letter or -. Returns the head, then ids and entries by turns, and then, of each rolling account among them, its
-- name with an n behind it and what it is called: see name.lua. It stops at the end of a shard when it has
-- found max entries or looked at most of them; the head tells how many shards it did. Writes nothing.
local request = ARGV[1]
if #request ~= 67 then return invalid('request') end
local seen, clock, max, most, state, estimated, first = read('>I8I8I8I8c1BB', request, 33)
if clock > NEVER then return invalid('request') end
local head = call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end
local after = {byte(request, 17, 32)}

-- Bytes are compared one by one: Lua compares texts by the rules of the server's language.
local function follows(id)
  for i = 1, 16 do
    local b = byte(id, i)
    if b ~= after[i] then return b > after[i] end
  end
  return false
end

local all, n, looked, shards = {''}, 1, 0, 0
for k = 6, #KEYS do
  local found, number = call('HGETALL', KEYS[k]), nil
  shards = shards + 1
  for i = 1, #found, 2 do
    local v = found[i + 1]
    if found[i] == '' then
      number = read('>I4', v)
    elseif (state == '-' or sub(v, 17, 17) == state) and (estimated == 0 or byte(v, 18) % 2 == 1) and follows(found[i]) then
      all[n + 1], all[n + 2], n = found[i], v, n + 2
    end
  end
  local b = first + k - 6
  local used = math.floor(byte(head, 69 + math.floor(b / 8)) / 2 ^ (b % 8)) % 2 == 1
  if used ~= (#found > 0) or used and number ~= #found / 2 - 1 then return LOST end
  looked = looked + #found / 2
  if n > 2 * max or looked >= most then break end
end
local seenAccounts = {}
for i = 2, n, 2 do
  local bookings = parts(all[i + 1] or '')
  for o = 1, #bookings, 34 do
    local account = sub(bookings, o, o + 15)
    if byte(bookings, o + 25) == 114 and not seenAccounts[account] then
      seenAccounts[account] = true
      all[#all + 1], all[#all + 2] = account .. 'n', call('HGET', ledger, account .. 'n') or ''
    end
  end
end
all[1] = 'A' .. pack('>I8I8H', read('>I8', head, 17), moment(clock), shards)
return all
