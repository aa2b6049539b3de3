// Package dynamostore keeps a ledger's accounts in one DynamoDB table: for fleets, of any number of processes on any number
// of hosts in one region.
//
// # What a step is
//
// Each step is one TransactWriteItems: the reservation's record, its due date, a gate with the epoch and the kill flags,
// and every account that it touches. An account's sums change by arithmetic under conditions ("used is at most limit minus
// amount"), so that a step needs not read what it changes. What a condition can't say (a window that has passed, an
// override, a mark that is reached) is read in one TransactGetItems and written by a transaction that requires everything
// to be as it was read. So a call is two round trips: one to reserve, one to settle. A denial, or a refusal by a kill flag,
// rests on one TransactGetItems; a loop that runs on after it pays for reads and no writes.
//
// Only such a snapshot denies. A cancelled transaction is read reason by reason: a condition that failed asks for a look; a
// conflict or a throttle is waited out with full jitter until the step's time is up, and is then an error, so that the call
// is refused. Every transaction requires the state that it ends, in a record that exists once: whoever sends it again, the
// SDK, a network or this package, after any time and in any order, changes nothing. Neither the ten minutes of a
// ClientRequestToken nor the client's own retries matter.
//
// Expire charges each reservation in a step of its own. Entries and Periods read page by page. Balances and Unlatch of more than 94
// items are several steps.
//
// # What it rests on
//
//   - One region. DynamoDB acknowledges a write when it is durable in several availability zones, and all reads here are
//     strongly consistent or transactional, so that the failover of a node or of a zone loses nothing. A global table is
//     refused: where the last writer wins there is no limit. A replica added later is found within a minute.
//   - The epoch. A table that is emptied or made again is an error in every step. One that was restored from a backup holds
//     the same epoch: its id tells, which is looked up once a minute and after each answer that there is no such table.
//     Deleting and restoring a table takes longer than that. Open accepts a restored table with Options.Adopt alone.
//   - Time. No condition of DynamoDB can ask for it: it is taken from the Date of the responses, carried on by the host's
//     monotonic clock, and never runs back in a process. Processes agree to about a second. An account holds time at the
//     latest window that it has seen: a clock that runs behind frees nothing, one that runs ahead opens the next window
//     early, once.
//   - Nobody else writes to the table.
//
// # What it costs and how far it goes
//
// A call that meets three limits writes 6 and then 6 items of up to 1 KB, at two write units each. An account of a rolling
// window holds up to 122 sums and takes 2 to 3 KB. A transaction holds 100 items, so that a call may meet 94 limits; a
// policy holds 64.
//
// An item takes about 1,000 write units a second, 2 for each transaction, and transactions that meet in one item are in
// conflict and try again: an account that all calls share carries on the order of 100 calls a second, at most 250. Steps of one process
// that have met in an item queue at it, so that 64 callers of one account get done what one does, and none starves.
// Options.Shards spreads each account over S items that hold a share of the limit each. A reservation goes to the shard
// that its id picks, in every attempt; when that has no room it spills over the others, in parts if need be, and only when
// all together have no room it is denied, on a read of all of them. So no shard strands anything, and all together never
// admit more than the limit. It has its price: a call may meet only 94/S limits, and near the limit, under an override,
// after spend beyond what was set aside, and on an observed limit that is full, calls read all shards first and meet more
// often. Other parts of the table carry about 4,000 calls a second before DynamoDB splits them.
//
// A kill flag changes 64 gates in one transaction; under load it first has reservations wait, for as long as that takes:
// some tenths of a second, at most ten seconds if the process that kills dies meanwhile.
//
// Settlements add to a row of usage of the day and of whose the call is, in as many items as accounts have shards. The first one of a day
// in each process reads whether the row is there, and makes it. A row of usage is as hot as the calls of one scope are many.
//
// Sums of windows that have passed move from the account's item to an archive, 32 at a time, in a transaction of their own. Expire lets a
// goroutine go through all reservations once a day, and forget those that were resolved on the day that is past the retention: in
// transactions of up to 90 items, which also add what they had posted to the forgotten sums of their buckets. It costs 2 write units a
// reservation, and a read unit a day for 8 reservations that are kept.
//
// Rows of usage, and sums and accounts whose windows passed long ago, are deleted by the table's time to live on the attribute "ttl". No
// decision rests on that; without it the table grows.
//
// # Permissions
//
// This is all that a store needs. CreateTable needs more, and an operator's role may have it; dynamodb:Scan is used by the
// first Open of an empty table alone.
//
//	{
//	  "Version": "2012-10-17",
//	  "Statement": [{
//	    "Effect": "Allow",
//	    "Action": [
//	      "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan",
//	      "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"
//	    ],
//	    "Resource": "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE"
//	  }]
//	}
//
// Whoever may write to the table may change the ledger: give no agent's role more than this, and none at all to what runs
// in a sandbox. The client needs a region and credentials, and no setting of its own; a proxy on the way must keep the Date
// header.
package dynamostore
