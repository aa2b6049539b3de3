package cache

// Rule names one thing that keeps a prompt from being cached, or that costs money while it is.
type Rule string

// RuleInfo describes a rule.
type RuleInfo struct {
	Rule Rule
	// Cause is the root cause that the rule belongs to, G1 to G24, as the README lists them.
	Cause string
	// Rejected says that the service certainly refuses such a request.
	Rejected bool
	// Mendable says that the request itself is at fault and can be changed. In Refuse mode only such rules, rejected
	// requests and tripped workflows refuse; the others report, unless the policy names them.
	Mendable bool
	// Advice is what to change.
	Advice string
}

// The rules that code in this module refers to by name.
const (
	ruleNoPoint        Rule = "no-cache-point"
	ruleIdle           Rule = "no-cache-activity"
	rulePointsLost     Rule = "points-lost"
	ruleDialect        Rule = "wrong-dialect"
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
	ruleTopLevel       Rule = "top-level-marker"
	ruleDeferred       Rule = "deferred-tool-marker"
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

// ruleTable is everything there is to know about the rules besides how they are found.
var ruleTable = [...]RuleInfo{
	{ruleNoPoint, "G1", false, true, "put a cache point behind the system prompt and behind the last user turn"},
	{ruleIdle, "G1", false, false, "put cache points into the request, or find out which layer drops them"},
	{rulePointsLost, "G2", false, true, "find the layer that drops the cache points on the way to the SDK"},
	{ruleDialect, "G2", true, true, "Converse takes cachePoint blocks, Claude bodies cache_control on a block, Nova bodies cachePoint in a text block"},
	{ruleSilentMiss, "G2", false, false, "compare the request with the one before it: what precedes the last common cache point has changed, or the points are not honoured"},
	{ruleTail, "G3", false, true, "put a cache point behind the last user turn too, and move it on with each turn"},
	{ruleFrozen, "G3", false, true, "move the last cache point on with each turn, to the end of the newest user turn"},
	{ruleJumping, "G3", false, true, "keep a cache point where the previous request had its last one, and add one behind the newest user turn"},
	{ruleLookback, "G4", false, true, "put a second, lagging cache point at most 19 blocks before the last one"},
	{ruleVolatileText, "G5", false, true, "move it behind the last cache point, into the newest user turn"},
	{ruleVolatileBlock, "G6", false, true, "move what changes behind the last cache point, into the newest user turn"},
	{ruleToolOrder, "G7", false, true, "sort the tools by name before each request"},
	{ruleKeyOrder, "G7", false, true, "serialise the tools once, or from a type with a fixed order of its fields"},
	{ruleToolSet, "G8", false, true, "offer the same tools in the whole conversation, or add them by mid-conversation blocks where the model takes them"},
	{ruleRewritten, "G9", false, true, "append to the history only; announce a compaction with cache.WithCompaction"},
	{ruleDropped, "G9", false, true, "send the assistant's tool turns again in each request, as they were: append to the history only"},
	{ruleSettings, "G9", false, true, "keep tool choice, thinking settings and speed the same in the whole conversation"},
	{ruleThinking, "G9", false, false, "expect it at each new question to this model: later ones keep their thinking"},
	{ruleUnsupported, "G10", true, true, "send no cache points to this model"},
	{ruleSection, "G10", true, true, "put no cache point into this section for this model"},
	{rulePosition, "G11", true, true, "move the cache point behind the nearest block before it that takes one"},
	{ruleAfterDocument, "G11", false, true, "put a text block between the document and the cache point"},
	{ruleTopLevel, "G11", true, true, "put cache_control on a block: Bedrock takes none at the top level"},
	{ruleDeferred, "G11", true, true, "put the cache point behind a tool that is not deferred"},
	{ruleTooMany, "G12", true, true, "keep those behind the tools, the system prompt and the two newest user turns"},
	{ruleTTLOrder, "G13", true, true, "let lifetimes only decrease from tools over system to messages"},
	{ruleTTLUnsupported, "G13", true, true, "ask for a lifetime that the model offers"},
	{ruleDowngraded, "G13", false, false, "check that this model offers the lifetime in this region"},
	{ruleBelowMinimum, "G14", false, false, "move the cache point to where enough tokens precede it, or leave it out"},
	{ruleAboveMaximum, "G14", false, true, "put the cache point before the longest prefix that this model caches"},
	{ruleExpired, "G15", false, false, "ask for a lifetime of one hour, if such pauses are the rule"},
	{ruleSwitched, "G16", false, false, "keep a conversation on one model, profile, region and account"},
	{ruleFanOut, "G17", false, false, "send one request first and the others once its response begins: Policy.HoldFanOut does that"},
	{ruleContradiction, "G18", false, false, "check what the counters of this model mean before you rely on its figures"},
	{ruleDoubled, "G18", false, false, "check what this model's counters mean, and correct the ledger by the invoice: it was charged what the response told"},
	{ruleUsageMissing, "G19", false, false, "read streams to their end; the worst case was charged, until it is corrected"},
	{ruleIdentical, "G22", false, false, "stop the loop that sends the same request again"},
	{ruleRetried, "G23", false, false, "give the call a timeout that covers its generation, and fewer retries"},
	{ruleNeverRead, "G24", false, false, "leave out the cache points of prefixes that are used once: writing costs more than reading saves"},
	{ruleEvicted, "G15", false, false, "nothing: the service evicts entries when it needs the room"},
	{ruleTripped, "G1-G9", false, true, "mend the causes named with it, then revive the workflow"},
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
