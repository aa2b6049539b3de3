-- include common
-- ARGV: <epoch 16><id 16><owner 16><seen 8><clock 8><retention 8><tombstone 1>. Only with tombstone set may an unknown id be
-- noted.
-- include post
local head = ARGV[1]
if #head ~= 73 then return invalid('request') end
local seen, clock, retention, tombstone = read('>I8I8I8B', head, 49)
if clock > NEVER or retention > NEVER then return invalid('request') end
local id, now = sub(head, 17, 32), moment(clock)

local value, answer = call('HGET', shard, id), 'A'
local state, bookings = value and sub(value, 17, 17) or 'n', value and sub(value, 155) or ''
if value and sub(value, 1, 16) ~= sub(head, 33, 48) then
  answer = 'C'
elseif state == 'v' then
  answer = 'R'
elseif state == 's' or state == 'x' then
  answer = 'V'
elseif not value and tombstone == 0 then
  answer = 'U'
end
local set, sequence = post(answer == 'A' and bookings or '', NOTHING, nil, true, sub(head, 1, 16), seen, now)
if not set then return sequence end
if answer ~= 'A' then return answer .. pack('>I8I8', sequence - 1, now) end
local origin = value or sub(head, 33, 48) .. 'n\0' .. pack('>I8I8I8', now, now, 0) .. NOTHING
keep(shard, id, origin, 'v', value and 0 or 4, now, sub(origin, 43, 98) .. NOTHING, bookings, retention)
call(unpack(set))
return 'A' .. pack('>I8I8', sequence, now)
