-- Lines come in two parts. What is booked, 34 bytes a line: <account 16><start 8><unit 1><kind 1><amount 8>. And its terms, 33
-- bytes a line: <flags 1><max 8>, and then, for a calendar window (kind c), <end 8><how much longer its sums are kept 8> and nothing, start and end being times;
-- for a rolling one (kind r) <into 8><step 8><steps 8>: the start is the number of a bucket, and the sender's guess at the time
-- lies so many nanoseconds into it. Flags: 1 latches, 2 is observed.
--
-- place says in which bucket a line is booked now, and from which start it counts. It returns nil when the line makes no
-- sense, and false when the sender guessed the time too wrongly.
local function place(booked, terms, i, guess, now)
  local o = 34 * i - 33
  local start, unit, kind, amount = read('>I8BBI8', booked, o + 16)
  local a, step, steps = read('>I8I8I8', terms, 33 * i - 23)
  if start > MAX or unit < 1 or unit > UNITS or amount > MAX or a > MAX then return nil end
  if kind == 99 then
    if now < start or now >= a and a < NEVER then return false end
    return sub(booked, o, o + 23), start
  end
  if kind ~= 114 or step < 1 or step > MAX or steps > start then return nil end
  local passed = now - guess
  if passed > MAX / 2000 or passed < -MAX / 2000 then return false end
  start = start + math.floor((passed * 1000 + a) / step)
  return sub(booked, o, o + 15) .. pack('>I8', start), start - steps
end
