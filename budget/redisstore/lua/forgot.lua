-- forgot reports whether sums of a line's window of now may have been forgotten already, because the clock went back behind the time
-- by which things are forgotten. A rolling window is kept for a hundred lengths at most: see announce.lua.
local function forgot(booked, terms, i, now, judged, retention)
  local a, step, steps = read('>I8I8I8', terms, 33 * i - 23)
  if byte(booked, 34 * i - 8) == 99 then return a < NEVER and now + retention < judged end
  return now + math.min(retention, step * steps / 10) < judged
end
