-- total adds an account up bucket by bucket, from since on, and lists the buckets with what is used in each.
local function total(account, since)
  local found = call('ZRANGEBYLEX', buckets, '[' .. account .. pack('>I8', since < 0 and 0 or since), '[' .. account .. '\255')
  local settled, pending, list = 0, 0, {}
  for first = 1, #found, 500 do -- a call takes only so many arguments
    local last = first + 499 < #found and first + 499 or #found
    local got = call('HMGET', ledger, unpack(found, first, last))
    for i = first, last do
      local s, p, sums = 0, 0, got[i - first + 1]
      if sums then s, p = read('>I8I8', sums) end
      settled, pending, list[i] = settled + s, pending + p, sub(found[i], 17) .. pack('>I8', s + p)
    end
  end
  return settled, pending, list
end
