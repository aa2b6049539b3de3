-- include common
-- include change
-- ARGV: <epoch 16><seen 8><clock 8><after 8><max 8>. Returns the head and, behind the revision, rows as change.lua describes them.
-- Writes nothing.
local request = ARGV[1]
if #request ~= 48 then return invalid('request') end
local seen, clock, after, max = read('>I8I8I8I8', request, 17)
if clock > NEVER or max > 10000 then return invalid('request') end
local head = call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) or call('HLEN', changes) ~= read('>I4', head, 65) then return LOST end
local count = call('HGET', changes, 'n') or '\0\0\0\0\0\0\0\0'
local all, last = {'A' .. pack('>I8I8', read('>I8', head, 17), moment(clock)) .. count}, read('>I8', count)
for revision = after + 1, after + max < last and after + max or last do
  all[#all + 1] = call('HGET', changes, pack('>I8', revision))
end
return all
