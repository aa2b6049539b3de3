-- include common
-- ARGV: <epoch 16><after 16><seen 8><clock 8><max 8>. Returns the head, then of each account <account 16><its terms 24><what it is
-- called>. Writes nothing.
local request = ARGV[1]
if #request ~= 56 then return invalid('request') end
local seen, clock, max = read('>I8I8I8', request, 33)
if clock > NEVER or max > 10000 then return invalid('request') end
local head = call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end
local all, account, behind = {'A' .. pack('>I8I8', read('>I8', head, 17), moment(clock))}, sub(request, 17, 32), string.rep('\255', 9)
while #all <= max do
  local found = call('ZRANGEBYLEX', buckets, '(' .. account .. behind, '+', 'LIMIT', '0', '1')[1]
  if not found or #found == 36 then break end -- rows of usage stand behind all accounts
  account = sub(found, 1, 16)
  local got = call('HMGET', ledger, account .. 'm', account .. 'n')
  all[#all + 1] = account .. (got[1] or string.rep('\0', 24)) .. (got[2] or '')
end
return all
