-- include common
-- include change
-- ARGV: <epoch 16><seen 8><clock 8><action 1>; the flag's dimensions, 16 bytes each; its payload; the channel to tell; the change and
-- its row: see change.lua. Action k
-- sets the flag, r removes it. See killed.lua.
local request, dims, payload, channel, change, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if #request ~= 33 or #change ~= 40 or #dims % 16 ~= 0 or #dims > 255 * 16 then return invalid('request') end
local seen, clock, action = read('>I8I8c1', request, 17)
if clock > NEVER or action ~= 'k' and action ~= 'r' then return invalid('request') end
local now, head = moment(clock), call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end

local sequence, latest, count = read('>I8I8I8', head, 17)
local answer = judge(change)
if answer ~= 'A' then return answer .. pack('>I8I8', sequence, now) end
local field, kept, o = sub(dims, 1, 16), {}, 1
local flags = call('HGET', kills, field) or ''
while o < #flags do
  local at = o + 1 + 16 * byte(flags, o)
  local ends = at + 12 + read('>I4', flags, at + 8)
  if sub(flags, o + 1, at - 1) == dims then count = count - 1 else kept[#kept + 1] = sub(flags, o, ends - 1) end
  o = ends
end
if action == 'k' then
  count, kept[#kept + 1] = count + 1, pack('>B', #dims / 16) .. dims .. pack('>I8I4', now, #payload) .. payload
end
flags = table.concat(kept)
if flags == '' then call('HDEL', kills, field) else call('HSET', kills, field, flags) end
note(change, '', row, now)
seal(head, sequence + 1, latest, count)
redis.pcall('PUBLISH', channel, '') -- a user without the right to publish can still kill
return 'A' .. pack('>I8I8', sequence + 1, now)
