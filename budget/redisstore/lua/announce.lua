-- announce makes a new bucket known to those who add up and to those who forget. One of a rolling window is forgotten after a
-- hundred lengths at the latest, so that an account holds some thousands of them and not millions.
local function announce(base, booked, terms, i, now, retention)
  -- include window
  local ends, spare = over(booked, terms, i, now)
  if byte(booked, 34 * i - 8) == 99 and ends < NEVER then spare, ends = 0, ends + read('>I8', terms, 33 * i - 15) end
  if spare > 0 and retention > 100 * (ends - now) then retention = 100 * (ends - now) end
  call('ZADD', buckets, '0', base)
  if ends < NEVER then call('ZADD', due, format('%d', ends + spare + retention - NEVER), base) end
end
