-- include common
-- ARGV: <epoch 16><account 16><seen 8><clock 8><after 8><max 8>. Returns the head, what the account is called, and of each bucket that
-- starts at after or later <start 8><settled 8><pending 8><forgotten 8>. Writes nothing.
local request = ARGV[1]
if #request ~= 64 then return invalid('request') end
local seen, clock, after, max = read('>I8I8I8I8', request, 33)
if clock > NEVER or max > 10000 or after > MAX then return invalid('request') end
local head, account = call('HGET', ledger, 'h'), sub(request, 17, 32)
if lost(head, sub(request, 1, 16), seen) then return LOST end
local all = {'A' .. pack('>I8I8', read('>I8', head, 17), moment(clock)), call('HGET', ledger, account .. 'n') or ''}
local found = call('ZRANGEBYLEX', buckets, '[' .. account .. pack('>I8', after), '[' .. account .. '\255', 'LIMIT', '0', format('%d', max))
for _, base in ipairs(found) do
  local sums = call('HGET', ledger, base) or string.rep('\0', 16)
  all[#all + 1] = sub(base, 17) .. sub(sums, 1, 16) .. (#sums > 16 and sub(sums, 17) or pack('>I8', 0))
end
return all
