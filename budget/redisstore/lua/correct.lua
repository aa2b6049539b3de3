-- include common
-- include change
-- ARGV: <epoch 16><id 16><seen 8><clock 8><retention 8><actual 56>; the change and its row: see change.lua.
-- include post
local head, change, row = ARGV[1], ARGV[2], ARGV[3]
if #head ~= 112 or #change ~= 40 then return invalid('request') end
local seen, clock, retention = read('>I8I8I8', head, 33)
if clock > NEVER or retention > NEVER then return invalid('request') end
local id, actual, now = sub(head, 17, 32), sub(head, 57), moment(clock)
for o = 1, 49, 8 do
  local n = read('>I8', actual, o)
  if n > MAX then return invalid('charge') end
end

local before = call('HGET', ledger, 'h')
if lost(before, sub(head, 1, 16), seen) then return LOST end
local value, fields = find(before, shard, id)
if value == nil then return LOST end
local answer = judge(change, before)
local fresh = answer == 'A'
local state, flags = value and sub(value, 17, 17) or 'n', value and byte(value, 18) or 0
local posted, bookings, whose, reference = value and sub(value, 99, 154), '', '', ''
if value then bookings, whose, reference = parts(value) end
if not value or state == 'p' or math.floor(flags / 4) % 2 == 1 then
  answer, fresh = 'N', false
elseif fresh and posted == actual and flags % 2 == 0 then
  answer = 'R'
end
local sequence, latest, flagged = read('>I8I8I8', before, 17)
local set, refused = post(before, answer == 'A' and bookings or '', actual, posted, false, now)
if not set then return refused end
if fresh then note(change, posted, row, now) end
if answer ~= 'A' then
  if fresh then
    sequence = sequence + 1
    seal(recount(before), sequence, latest, flagged)
  end
  return answer .. pack('>I8I8', sequence, now) .. state
end
local shards = keep(before, shard, id, fields, false, value, 's', flags - flags % 2, now, sub(value, 43, 98) .. actual, bookings, retention, whose, reference)
write(set)
seal(recount(before), sequence + 1, latest, flagged, shards)
return 'A' .. pack('>I8I8', sequence + 1, now) .. state
