-- include common
-- ARGV: <epoch 16><seen 8><clock 8><action 1><until 8><max 8> and accounts, 16 bytes each. Action o gives them an override,
-- action u opens their latches.
local request = ARGV[1]
if #request < 49 or (#request - 49) % 16 ~= 0 then return invalid('request') end
local seen, clock, action, ends, max = read('>I8I8c1I8i8', request, 17)
if clock > NEVER or ends > NEVER or max < 0 or action ~= 'o' and action ~= 'u' then return invalid('request') end
local now, head = moment(clock), call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end
local sequence = read('>I8', head, 17) + 1
for o = 50, #request, 16 do
  local field = sub(request, o, o + 15) .. 'm'
  local terms = call('HGET', ledger, field) or string.rep('\0', 24)
  call('HSET', ledger, field, action == 'o' and sub(terms, 1, 8) .. sub(request, 34, 49) or pack('>I8', 0) .. sub(terms, 9))
end
call('HSET', ledger, 'h', sub(head, 1, 16) .. pack('>I8', sequence) .. sub(head, 25))
return 'A' .. pack('>I8I8', sequence, now)
