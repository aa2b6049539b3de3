-- include common
-- include change
-- ARGV: <epoch 16><seen 8><clock 8>; the channel to tell; <length 2><operator><length 2><reason> and the document; the change and its row:
-- see change.lua. Without all but the first it reads the document, and writes nothing. The field p of ledger is <version 8><set at 8> and
-- what was sent.
local request, channel, document, change, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if #request ~= 32 or #ARGV ~= 1 and (#ARGV ~= 5 or #change ~= 40 or #document < 4) then return invalid('request') end
local seen, clock = read('>I8I8', request, 17)
if clock > NEVER then return invalid('request') end
local now, head = moment(clock), call('HGET', ledger, 'h')
if lost(head, sub(request, 1, 16), seen) then return LOST end
local sequence, latest, flags = read('>I8I8I8', head, 17)
if #ARGV == 1 then return 'A' .. pack('>I8I8', sequence, now) .. (call('HGET', ledger, 'p') or '') end
local answer = judge(change, head)
if answer ~= 'A' then return answer .. pack('>I8I8', sequence, now) end
note(change, '', row, now)
call('HSET', ledger, 'p', call('HGET', changes, 'n') .. pack('>I8', now) .. document)
seal(recount(head), sequence + 1, latest, flags)
redis.pcall('PUBLISH', channel, '')
return 'A' .. pack('>I8I8', sequence + 1, now)
