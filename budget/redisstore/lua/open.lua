-- include common
-- ARGV: action, a new epoch of 16 bytes, the layout's version, the name of the ledger. Action i inspects: it returns the head
-- or nothing, the time, the layout's version, whether remains of a ledger are there, and what INFO tells. Action c makes the
-- ledger unless there is one.
local action, epoch, layout, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if #epoch ~= 16 then return invalid('request') end
local head, version = unpack(call('HMGET', ledger, 'h', 'v'))
local remains = head and 1 or call('EXISTS', unpack(KEYS))
if action == 'c' and remains == 0 then
  head, version, remains = epoch .. pack('>I8I8I8', 1, 0, 0), layout, 1
  call('HSET', ledger, 'h', head, 'v', version, 'n', name)
end
local info = action == 'i' and redis.pcall('INFO') or ''
if type(info) == 'table' then info = '' end
return {head or '', format('%d', moment(0)), version or '', remains > 0 and '1' or '0', info}
