-- over is when a latch or a mark of now is over: at the end of a calendar window, one length later for a rolling one. spare
-- is how much longer the bucket of now counts.
local function over(booked, terms, i, now)
  local a, step, steps = read('>I8I8I8', terms, 33 * i - 23)
  if byte(booked, 34 * i - 8) == 99 then return a < NEVER and a or NEVER, 0 end
  return now - math.floor(-(step * steps) / 1000), math.floor(step / 1000) + 1
end
