-- include common
-- include change
-- ARGV: <epoch 16><seen 8><clock 8><action 1><until 8><max 8>; accounts, 16 bytes each; of each a change; of each its row: see
-- change.lua. Action o gives them an override, action u opens their latches.
local request, accounts, all = ARGV[1], ARGV[2], ARGV[3]
if #request ~= 49 or #accounts % 16 ~= 0 or #all ~= #accounts / 16 * 40 or #ARGV ~= 3 + #accounts / 16 then return invalid('request') end
local seen, clock, action, ends, max = read('>I8I8c1I8i8', request, 17)
if clock > NEVER or ends > NEVER or max < 0 or action ~= 'o' and action ~= 'u' then return invalid('request') end
local now, head, answer = moment(clock), call('HGET', ledger, 'h'), 'R'
if lost(head, sub(request, 1, 16), seen) then return LOST end
local sequence = read('>I8', head, 17)
for i = 1, #accounts / 16 do
  local change, field = sub(all, 40 * i - 39, 40 * i), sub(accounts, 16 * i - 15, 16 * i) .. 'm'
  local judged = judge(change, head)
  if judged == 'A' then
    local terms = call('HGET', ledger, field) or string.rep('\0', 24)
    call('ZADD', buckets, '0', sub(field, 1, 16))
    call('HSET', ledger, field, action == 'o' and sub(terms, 1, 8) .. sub(request, 34, 49) or pack('>I8', 0) .. sub(terms, 9))
    note(change, '', ARGV[3 + i], now)
    head = recount(head)
  end
  if judged == 'X' then return LOST end
  if judged == 'S' or answer == 'R' then answer = judged end
end
sequence = sequence + 1
local latest, flags = read('>I8I8', head, 25)
seal(recount(head), sequence, latest, flags)
return answer .. pack('>I8I8', sequence, now)
