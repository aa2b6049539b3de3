-- include common
-- include change
-- ARGV: <epoch 16><seen 8><clock 8><action 1><until 8><most 8>; the flag's dimensions, 16 bytes each; its payload; the channel to
-- tell; the change and its row: see change.lua. Action k sets the flag, r removes it; K and R do so with one with patterns, of
-- which there may be so many, and whose name stands in the place of dimensions. See killed.lua.
local request, dims, payload, channel, change, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if #request ~= 49 or #change ~= 40 or #dims % 16 ~= 0 or #dims > 255 * 16 then return invalid('request') end
local seen, clock, action, till, most = read('>I8I8c1I8I8', request, 17)
local sets, patterns = action == 'k' or action == 'K', action == 'K' or action == 'R'
if clock > NEVER or till > NEVER or most > NEVER or not sets and action ~= 'r' and action ~= 'R' or patterns and #dims ~= 16 then return invalid('request') end
local now, head = moment(clock), call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end

local sequence, latest, count = read('>I8I8I8', head, 17)
local answer = judge(change, head)
if answer ~= 'A' then return answer .. pack('>I8I8', sequence, now) end

-- without returns the flags of a field but for this one and those that ended before a moment, how many were left out and how many are
-- left, and whether this one was among them.
local function without(text, first, before)
  local kept, p, out, found = {}, first, 0, false
  while p < #text do
    local at = p + 1 + 16 * byte(text, p)
    local ends, ended = at + 20 + read('>I4', text, at + 16), read('>I8', text, at + 8)
    if sub(text, p + 1, at - 1) == dims then
      found, out = true, out + 1
    elseif ended > 0 and ended <= before then
      out = out + 1
    else
      kept[#kept + 1] = sub(text, p, ends - 1)
    end
    p = ends
  end
  return table.concat(kept), out, #kept, found
end
local flag = pack('>B', #dims / 16) .. dims .. pack('>I8I8I4', now, till, #payload) .. payload

if patterns then
  local text = call('HGET', kills, 'p') or string.rep('\0', 16)
  local rest, out, left = without(text, 17, now - @FLAGS@)
  if sets and left >= most then rest, out, left = without(text, 17, now) end
  if sets and left >= most then return 'G' .. pack('>I8I8', sequence, now) end
  count = count - out
  if sets then rest, count = rest .. flag, count + 1 end
  if rest == '' then call('HDEL', kills, 'p') else call('HSET', kills, 'p', sub(change, 17, 32) .. rest) end
  if sets and till > 0 then call('ZADD', due, format('%d', till + @FLAGS@ - NEVER), 'kp') end
else
  -- The flag itself, if it is set, is under one of its dimensions.
  local field, least = '', nil
  for o = 1, math.max(#dims, 1), 16 do
    local dim = sub(dims, o, o + 15)
    local text = call('HGET', kills, dim) or ''
    local rest, out, _, found = without(text, 1, now - @FLAGS@)
    if not least or least >= 0 and #text < least then field, least = dim, #text end
    if out > 0 then
      count = count - out
      if rest == '' then call('HDEL', kills, dim) else call('HSET', kills, dim, rest) end
    end
    if found then field, least = dim, -1 end
  end
  if sets then
    count = count + 1
    call('HSET', kills, field, (call('HGET', kills, field) or '') .. flag)
    if till > 0 then call('ZADD', due, format('%d', till + @FLAGS@ - NEVER), 'k' .. field) end
  end
end
note(change, '', row, now)
seal(recount(head), sequence + 1, latest, count)
redis.pcall('PUBLISH', channel, '') -- a user without the right to publish can still kill
return 'A' .. pack('>I8I8', sequence + 1, now)
