-- What every script begins with. All of them are handed the same first five keys, and the shards of entries that they touch.
--
--   ledger   a hash. h is its head: <epoch 16><sequence 8><latest time of a booking 8><number of kill flags 8><time by which
--            something was forgotten 8>, then how many members each of the first five keys has <20>, and a bit for each shard that ever held
--            an entry <32>. v is the layout's version, n the ledger's name, a the last loss that was accepted, j the time that
--            forgetting goes by. Of each account, whose name is 16 bytes: <account>m its terms <latched until 8><override until 8><override 8>,
--            <account>n what it is called: see name.lua, <account>f when each mark may be reported again, <account>w of a rolling window <first bucket 8><settled 8>
--            <pending 8> from that bucket on. Of each bucket: <account><start 8> its sums <settled 8><pending 8>
--            and, once there is any, <settled by entries that were forgotten 8>. Of each row of usage: <day 4><key 16>, see usage.lua. p is
--            the policy document: see policy.lua
--   due      a sorted set of what is looked at again: pending ids by the time they expire, resolved ids and buckets by the
--            time they are forgotten, minus NEVER, so that the two kinds don't stand in each other's way;
--            and k<field of kills> by the time its flags that have ended are forgotten
--   buckets  a sorted set of <account><start>, and of <account> of each that is listed, all of score 0;
--            behind them, of each row of usage <255 16 times><day 4><key 16>
--   kills    a hash from a flag's first dimension to its flags, and from p to those with patterns: see killed.lua
--   changes  the audit trail, a hash: see change.lua
--   entries  256 hashes from an id to its entry: see entry.lua. The empty name holds how many there are <4>
--
-- Widths are in bytes. Numbers are integers without a sign, the first byte first: nothing is ever read as a number that was
-- not written as one, and one that was negative is beyond any bound. Times are microseconds since 1970. Sums are exact
-- doubles: none may exceed MAX. Nothing is written before all that can refuse the step was found out, because a script that
-- fails is not undone. Functions that only some steps need are made where they are needed: a script runs from its first line
-- each time.
local ledger, due, buckets, kills, changes, shard = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local call, sub, byte, format, pack, read = redis.call, string.sub, string.byte, string.format, struct.pack, struct.unpack
local MAX, NEVER = 9007199254740991, 9000000000000000
-- How many units a charge counts. What is kept says how many it has: a library that knows more takes those that it lacks for 0, and one
-- that knows fewer refuses.
local UNITS, UNIT, SUMS = @UNITS@, '@UNIT@', '>@SUMS@'
local NOBODY = '@NOBODY@' -- the row of usage of what nobody said whose it is

local function invalid(what) return redis.error_reply('ERR bedrockguard: invalid ' .. what) end

-- The server's time; only tests hand in another one.
local function moment(clock)
  if clock > 0 then return clock end
  local t = call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Counts of what there is: a script leaves them in the head, and the next one finds them so, unless something else took a key or a
-- field away in between. Those of kills and changes are counted anew only by scripts that write there, and that of changes is
-- looked at only by scripts that read there: see change.lua.
local function tally() return pack('>I4I4I4', call('HLEN', ledger), call('ZCARD', due), call('ZCARD', buckets)) end

-- lost reports whether this is not the ledger that the caller knows, or an older state of it than the caller has seen, or one of
-- which a part is gone.
local function lost(head, known, seen)
  return not head or sub(head, 1, 16) ~= known or read('>I8', head, 17) < seen or sub(head, 49, 60) ~= tally() or read('>I4', head, 61) ~= call('HLEN', kills)
end

-- seal writes the head once everything else is written, in the place of the one that was read.
local function seal(head, sequence, latest, flags, shards, judged)
  call('HSET', ledger, 'h', sub(head, 1, 16) .. pack('>I8I8I8', sequence, latest, flags) .. (judged or sub(head, 41, 48)) .. tally() .. sub(head, 61, 68) .. (shards or sub(head, 69)))
end

-- sealed is the head as seal writes it, for a script that knows that it adds nothing but so many members to due. It saves the usual
-- step four calls, a tenth of its time.
local function sealed(head, sequence, latest, flags, more, shards)
  return sub(head, 1, 16) .. pack('>I8I8I8', sequence, latest, flags) .. sub(head, 41, 52) .. pack('>I4', read('>I4', head, 53) + more) ..
    sub(head, 57, 68) .. (shards or sub(head, 69))
end

-- recount returns the head with what kills and changes hold now, for seal.
local function recount(head)
  return sub(head, 1, 60) .. pack('>I4I4', call('HLEN', kills), call('HLEN', changes)) .. sub(head, 69)
end
local LOST = 'X\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
