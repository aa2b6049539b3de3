-- include entry
-- post finds out what it would write to post one charge in the place of another, which may be nil, in all buckets of the
-- bookings or in none; held says that what was reserved is still pending there. A bucket that was forgotten stays so: nobody
-- counts it any more. With new given, missing buckets are made, and their numbers noted there. It returns nil and an answer
-- if it can't be done, else what to write, and the value of one more field of ledger if one is given.
local function post(head, bookings, after, before, held, now, new, field)
  local ask, n = {'HMGET', ledger}, 2
  for o = 1, #bookings, 34 do
    ask[n + 1], n = sub(bookings, o, o + 23), n + 1
    if byte(bookings, o + 25) == 114 then ask[n + 1], n = sub(bookings, o, o + 15) .. 'w', n + 1 end
  end
  local set, at, m = {'HSET', ledger}, 1, 2
  if field then ask[n + 1], n = field, n + 1 end
  if n == 2 then return set end
  local got = call(unpack(ask))
  for o = 1, #bookings, 34 do
    local start, unit, kind, amount = read('>I8BBI8', bookings, o + 16)
    local sums, window, more = got[at], kind == 114 and got[at + 1], read('>I8', after, 8 * unit - 7)
    if before then more = more - read('>I8', before, 8 * unit - 7) end
    if not held then amount = 0 end
    if sums or new then
      local settled, pending = 0, 0
      if sums then settled, pending = read('>I8I8', sums) else new[#new + 1] = (o + 33) / 34 end
      settled = settled + more
      if settled > MAX then return nil, 'O' .. sub(head, 17, 24) .. pack('>I8', now) end
      set[m + 1], set[m + 2], m = ask[at + 2], pack('>I8I8', settled, pending - amount) .. (sums and sub(sums, 17) or ''), m + 2
      if window then
        local low
        low, settled, pending = read('>I8I8I8', window)
        if low <= start then
          settled = settled + more
          if settled > MAX then return nil, 'O' .. sub(head, 17, 24) .. pack('>I8', now) end
          set[m + 1], set[m + 2], m = ask[at + 3], pack('>I8I8I8', low, settled, pending - amount), m + 2
        end
      end
    end
    at = at + (kind == 114 and 2 or 1)
  end
  return set, field and got[at]
end

-- write carries out what post and charge have found.
local function write(set)
  if #set > 2 then call(unpack(set)) end
  for _, row in ipairs(set.rows or {}) do call('ZADD', buckets, '0', row) end
end

-- keep gives an entry its new state; it is forgotten a retention from now. middle is what stands between the times and what is posted.
-- It returns the bits of all shards, if they change, and how many members due has more.
local function keep(head, hash, id, fields, new, origin, state, flags, now, middle, posted, bookings, retention, whose, reference, shares)
  local more = call('ZADD', due, format('%d', now + retention - NEVER), id)
  local tail, named = names(whose, reference, shares)
  local value = sub(origin, 1, 16) .. state .. pack('>B', flags % 8 + named) .. sub(origin, 19, 26) .. pack('>I8', now) .. middle .. posted .. bookings .. tail
  return put(head, hash, id, value, fields, new), more
end
