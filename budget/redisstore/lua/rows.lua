-- include common
-- ARGV: <epoch 16><day 4><key 16><seen 8><clock 8><max 8>. Returns the head, then rows of usage behind that key of that day, each
-- <day 4><key 16> and what usage.lua describes. Writes nothing.
local request, rows = ARGV[1], string.rep('\255', 16)
if #request ~= 60 then return invalid('request') end
local behind, seen, clock, max = read('>c20I8I8I8', request, 17)
if clock > NEVER or max > 10000 then return invalid('request') end
local head = call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end
local all = {'A' .. pack('>I8I8', read('>I8', head, 17), moment(clock))}
local found = call('ZRANGEBYLEX', buckets, '(' .. rows .. behind, '+', 'LIMIT', '0', format('%d', max))
for i = 1, #found, 500 do -- a call takes only so many arguments
  local fields = {}
  for j = i, math.min(i + 499, #found) do fields[#fields + 1] = sub(found[j], 17) end
  for j, row in ipairs(call('HMGET', ledger, unpack(fields))) do all[#all + 1] = fields[j] .. (row or '') end
end
return all
