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
local answer = judge(change, head)
if answer ~= 'A' then return answer .. pack('>I8I8', sequence, now) end
-- The flag itself, if it is set, is under one of its dimensions.
local field, least = '', nil
for o = 1, math.max(#dims, 1), 16 do
  local dim = sub(dims, o, o + 15)
  local text = call('HGET', kills, dim) or ''
  if not least or #text < least then field, least = dim, #text end
  local kept, p, found = {}, 1, false
  while p < #text do
    local at = p + 1 + 16 * byte(text, p)
    local ends = at + 12 + read('>I4', text, at + 8)
    if sub(text, p + 1, at - 1) == dims then found = true else kept[#kept + 1] = sub(text, p, ends - 1) end
    p = ends
  end
  if found then
    count, text = count - 1, table.concat(kept)
    if text == '' then call('HDEL', kills, dim) else call('HSET', kills, dim, text) end
    field, least = dim, -1
  end
end
if action == 'k' then
  count = count + 1
  call('HSET', kills, field, (call('HGET', kills, field) or '') .. pack('>B', #dims / 16) .. dims .. pack('>I8I4', now, #payload) .. payload)
end
note(change, '', row, now)
seal(recount(head), sequence + 1, latest, count)
redis.pcall('PUBLISH', channel, '') -- a user without the right to publish can still kill
return 'A' .. pack('>I8I8', sequence + 1, now)
