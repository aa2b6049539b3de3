-- A change is <object 16><id 16><seen 8>; its row of the audit trail comes with it. In the hash changes, n is the revision; of
-- an object o<object> is what changed it last, <revision 8><id 16>; of a revision, 8 bytes, the row: <time 8><length of more 1>
-- <more><row>.

-- judge returns X if rows of the audit trail are gone, which the head tells if it is given, A if a change is still to be made, R if it
-- was made before, S if somebody has changed its object since.
local function judge(change, head)
  if head and call('HLEN', changes) ~= read('>I4', head, 65) then return 'X' end
  local last = call('HGET', changes, 'o' .. sub(change, 1, 16))
  if not last then return 'A' end
  if sub(last, 9) == sub(change, 17, 32) then return 'R' end
  return read('>I8', last) > read('>I8', change, 33) and 'S' or 'A'
end

-- note writes a change that was made into the audit trail.
local function note(change, more, row, now)
  local revision = pack('>I8', read('>I8', call('HGET', changes, 'n') or '\0\0\0\0\0\0\0\0') + 1)
  call('HSET', changes, 'n', revision, 'o' .. sub(change, 1, 16), revision .. sub(change, 17, 32), revision, pack('>I8B', now, #more) .. more .. row)
end
