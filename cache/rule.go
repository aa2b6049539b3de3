package cache

import "github.com/bedrockguard/bedrockguard-go/cache/prompt"

// Rule names one mistake that keeps a prompt from being cached, or makes its caching more expensive.
type Rule string

// RuleInfo describes a rule.
type RuleInfo struct {
	Rule Rule
	// Cause is the root cause that the rule belongs to, G1 to G24, as docs/caching.md lists them.
	Cause string
	// Rejected says that the service certainly refuses such a request.
	Rejected bool
	// Mendable says that the request itself has the mistake and can be corrected. In Refuse mode only such rules, rejected requests and
	// tripped workflows refuse; other findings are reported, unless the policy names their rule.
	Mendable bool
	// Advice says what to change.
	Advice string
}

// The rules that code in this module refers to by name.
const (
	ruleNoPoint        Rule = "no-cache-point"
	ruleIdle           Rule = "no-cache-activity"
	rulePointsLost     Rule = "points-lost"
	ruleDialect        Rule = prompt.WrongDialect
	ruleSilentMiss     Rule = "silent-miss"
	ruleTail           Rule = "uncached-tail"
	ruleFrozen         Rule = "frozen-point"
	ruleJumping        Rule = "moving-point"
	ruleLookback       Rule = "lookback-exceeded"
	ruleVolatileText   Rule = "volatile-text"
	ruleVolatileBlock  Rule = "volatile-block"
	ruleToolOrder      Rule = "tool-order"
	ruleKeyOrder       Rule = "key-order"
	ruleToolSet        Rule = "tool-set"
	ruleRewritten      Rule = "history-rewritten"
	ruleDropped        Rule = "history-dropped"
	ruleSettings       Rule = "settings-changed"
	ruleThinking       Rule = "thinking-dropped"
	ruleUnsupported    Rule = "model-rejects-points"
	ruleSection        Rule = "section-rejects-points"
	rulePosition       Rule = "illegal-position"
	ruleAfterDocument  Rule = "point-after-document"
	ruleTopLevel       Rule = prompt.TopLevelMarker
	ruleDeferred       Rule = prompt.DeferredMarker
	ruleTooMany        Rule = "too-many-points"
	ruleTTLOrder       Rule = "ttl-order"
	ruleTTLUnsupported Rule = "ttl-unsupported"
	ruleDowngraded     Rule = "ttl-downgraded"
	ruleBelowMinimum   Rule = "below-minimum"
	ruleAboveMaximum   Rule = "above-maximum"
	ruleExpired        Rule = "idle-expiry"
	ruleSwitched       Rule = "place-switched"
	ruleFanOut         Rule = "cold-fan-out"
	ruleContradiction  Rule = "usage-contradiction"
	ruleDoubled        Rule = "usage-doubled"
	ruleUsageMissing   Rule = "usage-missing"
	ruleIdentical      Rule = "identical-requests"
	ruleRetried        Rule = "billed-retries"
	ruleNeverRead      Rule = "writes-never-read"
	ruleEvicted        Rule = "evicted"
	ruleTripped        Rule = "hit-ratio-below-floor"
)

// ruleTable has the descriptions of all rules.
var ruleTable = [...]RuleInfo{
	{Rule: ruleNoPoint, Cause: "G1", Mendable: true, Advice: "put a cache point behind the system prompt and behind the last user turn"},
	{Rule: ruleIdle, Cause: "G1", Advice: "put cache points into the request, or find out which layer drops them"},
	{Rule: rulePointsLost, Cause: "G2", Mendable: true, Advice: "find the layer that drops the cache points on the way to the SDK"},
	{Rule: ruleDialect, Cause: "G2", Rejected: true, Mendable: true, Advice: "Converse takes cachePoint blocks, Claude bodies cache_control on a block, Nova bodies cachePoint in a text block"},
	{Rule: ruleSilentMiss, Cause: "G2", Advice: "compare the request with the one before it: what precedes the last common cache point has changed, or the points are not honoured"},
	{Rule: ruleTail, Cause: "G3", Mendable: true, Advice: "put a cache point behind the last user turn too, and move it on with each turn"},
	{Rule: ruleFrozen, Cause: "G3", Mendable: true, Advice: "move the last cache point on with each turn, to the end of the newest user turn"},
	{Rule: ruleJumping, Cause: "G3", Mendable: true, Advice: "keep a cache point where the previous request had its last one, and add one behind the newest user turn"},
	{Rule: ruleLookback, Cause: "G4", Mendable: true, Advice: "put a second, lagging cache point at most 19 blocks before the last one"},
	{Rule: ruleVolatileText, Cause: "G5", Mendable: true, Advice: "move it behind the last cache point, into the newest user turn"},
	{Rule: ruleVolatileBlock, Cause: "G6", Mendable: true, Advice: "move what changes behind the last cache point, into the newest user turn"},
	{Rule: ruleToolOrder, Cause: "G7", Mendable: true, Advice: "sort the tools by name before each request"},
	{Rule: ruleKeyOrder, Cause: "G7", Mendable: true, Advice: "serialise the tools once, or from a type with a fixed order of its fields"},
	{Rule: ruleToolSet, Cause: "G8", Mendable: true, Advice: "offer the same tools in the whole conversation, or add them by mid-conversation blocks where the model takes them"},
	{Rule: ruleRewritten, Cause: "G9", Mendable: true, Advice: "append to the history only; announce a compaction with cache.WithCompaction"},
	{Rule: ruleDropped, Cause: "G9", Mendable: true, Advice: "send the assistant's tool turns again in each request, as they were: append to the history only"},
	{Rule: ruleSettings, Cause: "G9", Mendable: true, Advice: "keep tool choice, thinking settings and speed the same in the whole conversation"},
	{Rule: ruleThinking, Cause: "G9", Advice: "expect it at each new question to this model: later ones keep their thinking"},
	{Rule: ruleUnsupported, Cause: "G10", Rejected: true, Mendable: true, Advice: "send no cache points to this model"},
	{Rule: ruleSection, Cause: "G10", Rejected: true, Mendable: true, Advice: "put no cache point into this section for this model"},
	{Rule: rulePosition, Cause: "G11", Rejected: true, Mendable: true, Advice: "move the cache point behind the nearest block before it that takes one"},
	{Rule: ruleAfterDocument, Cause: "G11", Mendable: true, Advice: "put a text block between the document and the cache point"},
	{Rule: ruleTopLevel, Cause: "G11", Rejected: true, Mendable: true, Advice: "put cache_control on a block: Bedrock takes none at the top level"},
	{Rule: ruleDeferred, Cause: "G11", Rejected: true, Mendable: true, Advice: "put the cache point behind a tool that is not deferred"},
	{Rule: ruleTooMany, Cause: "G12", Rejected: true, Mendable: true, Advice: "keep those behind the tools, the system prompt and the two newest user turns"},
	{Rule: ruleTTLOrder, Cause: "G13", Rejected: true, Mendable: true, Advice: "let lifetimes only decrease from tools over system to messages"},
	{Rule: ruleTTLUnsupported, Cause: "G13", Rejected: true, Mendable: true, Advice: "ask for a lifetime that the model offers"},
	{Rule: ruleDowngraded, Cause: "G13", Advice: "check that this model offers the lifetime in this region"},
	{Rule: ruleBelowMinimum, Cause: "G14", Advice: "move the cache point to where enough tokens precede it, or leave it out"},
	{Rule: ruleAboveMaximum, Cause: "G14", Mendable: true, Advice: "put the cache point before the longest prefix that this model caches"},
	{Rule: ruleExpired, Cause: "G15", Advice: "ask for a lifetime of one hour, if such pauses are the rule"},
	{Rule: ruleSwitched, Cause: "G16", Advice: "keep a conversation on one model, profile, region and account"},
	{Rule: ruleFanOut, Cause: "G17", Advice: "send one request first and the others once its response begins: Policy.HoldFanOut does that"},
	{Rule: ruleContradiction, Cause: "G18", Advice: "check what the counters of this model mean before you rely on its figures"},
	{Rule: ruleDoubled, Cause: "G18", Advice: "check what this model's counters mean, and correct the ledger by the invoice: it was charged what the response told"},
	{Rule: ruleUsageMissing, Cause: "G19", Advice: "read streams to their end; the worst case was charged, until it is corrected"},
	{Rule: ruleIdentical, Cause: "G22", Advice: "stop the loop that sends the same request again"},
	{Rule: ruleRetried, Cause: "G23", Advice: "give the call a timeout that covers its generation, and fewer retries"},
	{Rule: ruleNeverRead, Cause: "G24", Advice: "leave out the cache points of prefixes that are used once: writing costs more than reading saves"},
	{Rule: ruleEvicted, Cause: "G15", Advice: "nothing: the service evicts entries when it needs the room"},
	{Rule: ruleTripped, Cause: "G1-G9", Mendable: true, Advice: "mend the causes named with it, then revive the workflow"},
}

// Rules returns a description of each rule.
func Rules() []RuleInfo { return append([]RuleInfo(nil), ruleTable[:]...) }

// Info returns the description of the rule, and false if there is no such rule.
func (r Rule) Info() (RuleInfo, bool) {
	for i := range ruleTable {
		if ruleTable[i].Rule == r {
			return ruleTable[i], true
		}
	}
	return RuleInfo{}, false
}
