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

local value, answer = call('HGET', shard, id), judge(change)
local fresh = answer == 'A'
local state, flags = value and sub(value, 17, 17) or 'n', value and byte(value, 18) or 0
local posted, bookings = value and sub(value, 99, 154), value and sub(value, 155)
if not value or state == 'p' or flags >= 4 then
  answer, fresh = 'N', false
elseif fresh and posted == actual and flags % 2 == 0 then
  answer = 'R'
end
local set, sequence = post(answer == 'A' and bookings or '', actual, posted, false, sub(head, 1, 16), seen, now)
if not set then return sequence end
if fresh then note(change, posted, row, now) end
if answer ~= 'A' then return answer .. pack('>I8I8', sequence - 1, now) .. state end
keep(shard, id, value, 's', flags - flags % 2, now, sub(value, 43, 98) .. actual, bookings, retention)
call(unpack(set))
return 'A' .. pack('>I8I8', sequence, now) .. state
