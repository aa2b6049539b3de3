-- include common
-- ARGV: <epoch 16><seen 8><clock 8>. Returns the flags of all fields, as killed.lua describes them, those that have ended included. Writes nothing.
local request = ARGV[1]
if #request ~= 32 then return invalid('request') end
local seen, clock = read('>I8I8', request, 17)
if clock > NEVER then return invalid('request') end
local head = call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end
local all, found = {}, call('HGETALL', kills)
for i = 1, #found, 2 do all[#all + 1] = found[i] == 'p' and sub(found[i + 1], 17) or found[i + 1] end
return 'A' .. pack('>I8I8', read('>I8', head, 17), moment(clock)) .. table.concat(all)
