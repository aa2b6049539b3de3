-- include common
-- ARGV: <epoch 16><id 16><owner 16><seen 8><clock 8><retention 8><tombstone 1>. Only with tombstone set may an unknown id be
-- noted.
-- include post
local head = ARGV[1]
if #head ~= 73 then return invalid('request') end
local seen, clock, retention, tombstone = read('>I8I8I8B', head, 49)
if clock > NEVER or retention > NEVER then return invalid('request') end
local id, now = sub(head, 17, 32), moment(clock)

local before, answer = call('HGET', ledger, 'h'), 'A'
if lost(before, sub(head, 1, 16), seen) then return LOST end
local value, fields = find(before, shard, id)
if value == nil then return LOST end
local state, bookings, whose, reference = value and sub(value, 17, 17) or 'n', '', '', ''
local reserved, row, _ = NOTHING, nil, nil
if value then
  bookings, whose, reference = parts(value)
  reserved, _, _, row = opened(value)
end
if value and sub(value, 1, 16) ~= sub(head, 33, 48) then
  answer = 'C'
elseif state == 'v' then
  answer = 'R'
elseif state == 's' or state == 'x' then
  answer = 'V'
elseif not value and tombstone == 0 then
  answer = 'U'
end
local sequence, latest, flags = read('>I8I8I8', before, 17)
if answer ~= 'A' then return answer .. pack('>I8I8', sequence, now) end
local set, refused = post(before, bookings, NOTHING, nil, true, now)
if not set then return refused end
local origin = value or sub(head, 33, 48) .. 'n\0' .. pack('>I8I8I8', now, now, 0)
local shards = keep(before, shard, id, fields, not value, origin, 'v', value and 0 or 4, now, sub(origin, 35, 42) .. UNIT .. (row or NOBODY) .. reserved, NOTHING, bookings, retention, whose, reference)
write(set)
seal(before, sequence + 1, latest, flags, shards)
return 'A' .. pack('>I8I8', sequence + 1, now)
