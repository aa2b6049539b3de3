-- name keeps how an account is called, unless that is known: <step of a rolling window 8><name>. It is known to those who list
-- accounts from then on.
local function name(account, text)
  call('HSETNX', ledger, account .. 'n', text)
  call('ZADD', buckets, '0', account)
end

-- split takes what was sent for each line apart: <length 2><step 8><name>. It returns nil if that is not what was sent.
local function split(text, lines)
  local all, o = {}, 1
  for i = 1, lines do
    if #text < o + 9 then return nil end
    local n = read('>H', text, o)
    if n < 8 or #text < o + 1 + n then return nil end
    all[i], o = sub(text, o + 2, o + 1 + n), o + 2 + n
  end
  return o == #text + 1 and all or nil
end
