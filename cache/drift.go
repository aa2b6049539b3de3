package cache

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// This file compares a request with the earlier one that it continues. It knows neither's text: a prompt.Record has a block's hashes and sizes. Chain
// is the hash of all blocks up to it, UpTo their size. The head of a request are its tools and its system prompt, after which its messages follow. A
// conversation is the longest request that was seen of it, and a branch is a request that replaces its last messages.

// predecessor is the earlier request that a request most likely continues. Its conversation is nil if there is none.
type predecessor struct {
	conversation   *conversation
	shared         int // blocks that are the same from the start
	sharedMessages int // blocks of messages that are the same from the first one on
	forks          int // how many requests in a row, up to this one, have changed the last message of the request before
}

// findPredecessor returns the earlier request with which p has the longest common beginning. If its tools or system prompt differ from p's, another
// request may be nearer: then the one with which p has the most messages in common is returned, if any has some. Of several with equally much in
// common the most recently used one counts, which stands first in s.conversations.
func (s *session) findPredecessor(p *prompt.Prompt) predecessor {
	var best predecessor
	if len(p.Records()) == 0 {
		return best
	}
	for _, conv := range s.conversations {
		if shared := commonChain(conv.blocks, p.Records()); best.conversation == nil || shared > best.shared {
			best = predecessor{conversation: conv, shared: shared}
		}
	}
	if best.conversation == nil {
		return best
	}
	oneExtendsTheOther := best.shared == len(best.conversation.blocks) || best.shared == len(p.Records())
	tools, system := heads(p)
	onlyMessagesDiffer := best.shared > tools+system
	if oneExtendsTheOther || onlyMessagesDiffer {
		return best // none can be nearer
	}
	now := messageRecords(p)
	for _, conv := range s.conversations { // compares the messages, whatever stands before them
		if common := commonMessages(conv.messages(), now); common > best.sharedMessages { // 0 until this loop has set it
			best = predecessor{conversation: conv, shared: commonChain(conv.blocks, p.Records()), sharedMessages: common}
		}
	}
	return best
}

// messages returns the blocks of the conversation's messages.
func (conv *conversation) messages() []prompt.Record {
	return conv.blocks[min(conv.tools+conv.system, len(conv.blocks)):]
}

// heads returns how many blocks the tools and the system prompt of a request have.
func heads(p *prompt.Prompt) (tools, system int) {
	for i := range p.Blocks {
		switch p.Blocks[i].Section {
		case prompt.Tools:
			tools++
		case prompt.System:
			system++
		default:
			return tools, system
		}
	}
	return tools, system
}

// messageRecords returns the records of a request's messages.
func messageRecords(p *prompt.Prompt) []prompt.Record {
	tools, system := heads(p)
	return p.Records()[tools+system:]
}

// continues reports whether a request's messages continue the predecessor's conversation, even if tools or system prompt have changed. They
// do if one of the common messages is the assistant's, or if all of the predecessor's messages are kept and an assistant's message follows.
// If only user messages are common, another agent may have got the same question.
func (prev *predecessor) continues(now []prompt.Record) bool {
	if prev.sharedMessages == 0 {
		return false
	}
	for _, r := range now[:prev.sharedMessages] {
		if !r.User {
			return true
		}
	}
	keepsAll := prev.sharedMessages == len(prev.conversation.messages())
	return keepsAll && len(now) > prev.sharedMessages && !now[prev.sharedMessages].User
}

// counted returns the token count of the predecessor's response, for the blocks of the predecessor that were counted; zero if the request does not
// have all of these blocks in common with the predecessor.
func (prev *predecessor) counted() estimate.Counted {
	if prev.conversation == nil || prev.shared < prev.conversation.counted.Blocks {
		return estimate.Counted{}
	}
	return prev.conversation.counted
}

// total returns the size of the conversation's last request.
func (conv *conversation) total() prompt.Size {
	if conv.sent == 0 || conv.sent > len(conv.blocks) {
		return prompt.Size{}
	}
	return conv.blocks[conv.sent-1].UpTo
}

// upTo returns the size of the conversation's first blocks.
func (conv *conversation) upTo(blocks int) prompt.Size {
	if blocks <= 0 || blocks > len(conv.blocks) {
		return prompt.Size{}
	}
	return conv.blocks[blocks-1].UpTo
}

// compare finds out what has changed since the predecessor, and adds findings. It sets t.avoidable, what could be read if nothing had changed: blocks
// of the predecessor whose response has begun and whose entries still live. Requires s.mu held.
func (t *Turn) compare() {
	conv := t.past.conversation
	if conv == nil {
		return
	}
	tools, system := heads(t.prompt)
	head := tools + system
	extends := t.past.shared == len(conv.blocks) || t.past.shared == len(t.prompt.Records()) // one is the beginning of the other
	headUnchanged := head == conv.tools+conv.system && t.past.shared >= head                 // only messages differ
	if extends || headUnchanged {
		// conv.begun is how many blocks of the predecessor are in the cache, because their response has begun.
		t.avoidable = conv.upTo(min(t.past.shared, conv.begun))
		if !extends {
			t.messagesChanged()
		}
		t.settingsChanged()
	} else {
		t.headChanged(tools, system) // which sets t.avoidable if the conversation goes on; else it stays zero
	}
	// conv.alive is how many blocks can still be in the cache after the pause since the predecessor. Of two prefixes Bytes tells the longer one.
	if alive := conv.upTo(conv.alive(t.call.At.Sub(conv.lastAt))); t.avoidable.Bytes > alive.Bytes {
		t.avoidable = alive
	}
	t.locationChanged()
}

// stake adds to a finding how many tokens have to be sent again because of a change, and what that costs: with cache points they are written again,
// without they are only not read. t.points is how many points the request has, and scale.Mid the most likely number of tokens.
func (t *Turn) stake(f Finding, amount prompt.Size) Finding {
	f.Tokens = t.session.scale.Mid(amount)
	if t.points > 0 {
		f.NanoUSD = t.call.Model.writtenAgain(f.Tokens)
	} else {
		f.NanoUSD = t.call.Model.paidAgain(f.Tokens)
	}
	return f
}

// headChanged adds a finding for what has changed in tools or system prompt: one for the tools, and, if the conversation goes on, one for the first
// block of the system prompt that differs. tools and system are how many blocks these have in the request.
func (t *Turn) headChanged(tools, system int) {
	conv, p := t.past.conversation, t.prompt
	if conv.total() == (prompt.Size{}) {
		return // nothing can be lost of a request without text and media
	}
	lost := conv.total().Minus(conv.upTo(t.past.shared)) // it was cached and has to be written again
	// A list of tools has changed if the common beginning ends inside of the old one or of the new one.
	if t.past.shared < conv.tools || t.past.shared < tools {
		t.toolsChanged(conv.blocks[:conv.tools], p.Records()[:tools], lost)
	}
	if !t.past.continues(p.Records()[tools+system:]) {
		return // another conversation, with another system prompt
	}
	t.avoidable = conv.upTo(min(conv.sent, conv.begun)) // the whole request before could have been read
	t.systemChanged(conv.blocks[conv.tools:min(conv.tools+conv.system, len(conv.blocks))], p.Records()[tools:tools+system], tools, lost)
}

// systemChanged adds a finding for the first block that differs between the system prompts of two requests, or for a different number of blocks; none
// if both are equal. tools is how many blocks stand before the new one, and lost the size of what has to be sent again.
func (t *Turn) systemChanged(old, now []prompt.Record, tools int, lost prompt.Size) {
	p := t.prompt
	for k := range min(len(old), len(now)) {
		if old[k].Hash == now[k].Hash {
			continue
		}
		where := p.Blocks[tools+k].Where.String()
		f := Finding{Rule: ruleVolatileBlock, Where: where, Detail: fmt.Sprintf("the block has changed since the request before, and the conversation behind it has not: %d tokens have to be written again", t.session.scale.Mid(lost))}
		// Volatile finds a time, an id and the like in the block's text. Alike says that the old block had one of the same kind.
		if v := p.Volatile(tools + k); v.Suspicious() || v.Alike(old[k].Volatile) {
			f.Rule = ruleVolatileText
			f.Detail = fmt.Sprintf("%s has changed since the request before, and the conversation behind it has not", v)
		}
		t.add(t.stake(f, lost))
		return
	}
	if len(old) != len(now) {
		t.add(t.stake(Finding{Rule: ruleVolatileBlock, Where: "system", Detail: fmt.Sprintf("the system prompt had %d blocks in the request before and has %d", len(old), len(now))}, lost))
	}
}

// toolsChanged adds a finding for tools that have changed: their order, the order of their keys, or, within a conversation, the tools themselves.
// lost is the size of what has to be sent again.
func (t *Turn) toolsChanged(old, now []prompt.Record, lost prompt.Size) {
	// The first tool that differs, or the place where it would be if the new list has ended there.
	where := prompt.Where{Section: prompt.Tools, Index: t.past.shared}.String()
	if t.past.shared < len(now) {
		where = t.prompt.Blocks[t.past.shared].Where.String()
	}
	d := diffTools(old, now)
	switch {
	case d.sameSet:
		t.add(t.stake(Finding{Rule: ruleToolOrder, Where: where, Detail: fmt.Sprintf("the same %d tools stand in another order than in the request before", len(now))}, lost))
	case d.sameContent:
		t.add(t.stake(Finding{Rule: ruleKeyOrder, Where: where, Detail: "the definition is the same as in the request before, with its keys in another order"}, lost))
	// Other tools outside of a conversation belong to another agent, and are no finding.
	case t.past.continues(messageRecords(t.prompt)):
		t.add(t.stake(Finding{Rule: ruleToolSet, Where: where, Detail: fmt.Sprintf("in the middle of a conversation %d tools were added, %d removed and %d changed", d.added, d.removed, d.changed)}, lost))
	}
}

// toolDiff says how two lists of tools differ.
type toolDiff struct {
	sameSet                 bool // the same tools, in another order
	sameContent             bool // the same tools in the same order; only keys of their definitions have another order
	added, removed, changed int
}

// diffTools compares the tools of two requests. A tool that is gone and one of the same name that is new count as one that was changed.
func diffTools(old, now []prompt.Record) toolDiff {
	hash := func(r *prompt.Record) uint64 { return r.Hash }
	name := func(r *prompt.Record) uint64 { return r.Name }
	gone, added := without(old, now, hash), without(now, old, hash)
	changed := len(gone) - len(without(gone, added, name))
	return toolDiff{
		sameSet:     len(gone) == 0 && len(added) == 0,
		sameContent: slices.EqualFunc(old, now, func(a, b prompt.Record) bool { return a.Canonical == b.Canonical }),
		added:       len(added) - changed, removed: len(gone) - changed, changed: changed,
	}
}

// without returns those of a that have no equal in b, which is one with the same key. Each of b is the equal of one of a at most.
func without(a, b []prompt.Record, key func(*prompt.Record) uint64) (rest []prompt.Record) {
	equals := make(map[uint64]int, len(b)) // how many of b have a key and are not taken yet
	for i := range b {
		equals[key(&b[i])]++
	}
	for i := range a {
		if k := key(&a[i]); equals[k] > 0 {
			equals[k]--
		} else {
			rest = append(rest, a[i])
		}
	}
	return rest
}

// longBlock is the size in bytes from which two blocks are unlikely to be equal by chance.
const longBlock = 64

// messagesChanged adds a finding if the history was rewritten, has lost turns of tools, or if several requests in a row have changed the last
// message; and none if the request is a branch of the conversation. Requires that tools and system prompt are the same, and that neither request is
// the beginning of the other.
func (t *Turn) messagesChanged() {
	conv, p, at := t.past.conversation, t.prompt, t.past.shared
	old, now := conv.blocks[at:], p.Records()[at:]
	lost := conv.total().Minus(conv.upTo(at)) // it was cached and has to be written again
	if reappear(old, now) {
		if t.call.Compacted {
			return // the caller has announced that it rewrites the history
		}
		t.avoidable = conv.upTo(min(conv.sent, conv.begun))
		t.add(t.stake(Finding{
			Rule: ruleRewritten, Where: p.Blocks[at].Where.String(),
			Detail: fmt.Sprintf("a block of the history, %s, is not what it was in the request before: %d blocks from there on have to be written again", p.Blocks[at].Kind, len(old)),
		}, lost))
		return
	}
	if t.dropped(old, now) || t.branches(old) {
		return // dropped has added its finding, and a branch is none
	}
	if t.past.forks = conv.forks + 1; t.past.forks >= manyForks && !t.call.Compacted {
		t.add(t.stake(Finding{
			Rule: ruleRewritten, Where: p.Blocks[at].Where.String(),
			Detail: fmt.Sprintf("each of the last %d requests has changed the newest message of the one before", t.past.forks),
		}, lost))
	}
}

// branches reports whether the request certainly is a branch: it goes back to an earlier message, or asks the last one again, or the request before
// went back itself. One that replaces the last message and goes on may be a branch too, but not if that happens again and again. old are the
// conversation's blocks from the first different one on.
func (t *Turn) branches(old []prompt.Record) bool {
	conv, now := t.past.conversation, t.prompt.Records()
	changesLastMessage := old[0].Message == conv.blocks[len(conv.blocks)-1].Message
	goesFurther := now[len(now)-1].Message > old[0].Message
	wentBack := conv.sent != len(conv.blocks) // the request before was shorter than the conversation
	return !changesLastMessage || !goesFurther || wentBack
}

// dropped adds a finding if the history has lost uses of tools and their results, and returns whether it has. A branch of the conversation
// looks the same, except that in a branch the same request was sent twice and got two answers: s.asked counts how often it was sent. old and now
// are the blocks from the first different one on.
func (t *Turn) dropped(old, now []prompt.Record) bool {
	if old[0].User || !now[len(now)-1].User || t.call.Compacted {
		return false // what is gone has to begin with the assistant's turn, and the request to end with the user's; or a compaction was announced
	}
	gone := goneToolBlocks(old, now)
	// A lost turn of tools is at least two blocks, a use and its result.
	if gone < 2 || t.timesAsked() != 1 {
		return false
	}
	conv := t.past.conversation
	t.avoidable = conv.upTo(min(conv.sent, conv.begun))
	t.follows.habit.drops++ // a copy of the conversation's count, which learn stores when the request is sent
	t.add(t.stake(Finding{
		Rule: ruleDropped, Where: t.prompt.Blocks[t.past.shared].Where.String(), Suspected: t.follows.habit.drops < manyDrops,
		Detail: fmt.Sprintf("%d blocks of tool turns that the request before held are gone from the history: what stands behind them has to be written again", gone),
	}, conv.total().Minus(conv.upTo(t.past.shared))))
	return true
}

// goneToolBlocks returns how many uses of tools and results among the old blocks are nowhere among the new ones.
func goneToolBlocks(old, now []prompt.Record) (gone int) {
	for i := range old {
		tool := old[i].Kind == prompt.ToolUse || old[i].Kind == prompt.ToolResult
		if tool && !slices.ContainsFunc(now, func(r prompt.Record) bool { return r.Hash == old[i].Hash }) {
			gone++
		}
	}
	return gone
}

// timesAsked returns how often the request was sent that the dropped turns have answered: it ends with the last common block of the user. It returns
// 0 if the common blocks have no message of the user.
func (t *Turn) timesAsked() int {
	common := t.prompt.Records()[:t.past.shared]
	end := len(common) - 1
	for end >= 0 && common[end].Section == prompt.Messages && !common[end].User {
		end--
	}
	if end < 0 || common[end].Section != prompt.Messages {
		return 0
	}
	return t.session.asked(common[end].Chain)
}

// manyDrops is how often a conversation has to lose tool turns before the finding is certain.
const manyDrops = 2

// manyForks is how many requests in a row have to change the last message of the one before until they no longer count as branches.
const manyForks = 3

// reappear reports whether the new history still has what followed the changed block in the old one: long blocks at the same places, with at least
// half of the text of all long ones, or two consecutive blocks anywhere. Then the history was rewritten, and the request is no branch. Block 0 of
// both is the changed one.
func reappear(old, now []prompt.Record) bool {
	return keepsPlaces(old, now) || keepsPair(old, now)
}

// keepsPlaces reports whether at least half of the text of the old history's long blocks stands at the same places of the new one. Among the blocks
// that do must be a question of the user and an answer, because different conversations may have the same question, or the same answer.
func keepsPlaces(old, now []prompt.Record) bool {
	var long, same int64 // bytes of the old history's long blocks, and of those that the new one has at the same place
	asked, answered := false, false
	for k := 1; k < len(old); k++ { // from 1, because block 0 has changed
		n := bytesAt(old, k)
		equal := k < len(now) && old[k].Hash == now[k].Hash
		answered = answered || equal && isAnswer(&old[k], n)
		if n < longBlock {
			continue
		}
		long += n
		if equal {
			same += n
			asked = asked || old[k].User
		}
	}
	return asked && answered && 2*same >= long
}

// keepsPair reports whether the new history has, anywhere, two consecutive blocks of the old one that are unlikely to be equal by chance.
func keepsPair(old, now []prompt.Record) bool {
	pairs := make(map[[2]uint64]bool, len(old)) // of the old history, by the hashes of both blocks
	for k := 1; k+1 < len(old); k++ {
		first, second := bytesAt(old, k), bytesAt(old, k+1)
		if first >= longBlock && (isAnswer(&old[k], first) || isAnswer(&old[k+1], second)) {
			pairs[[2]uint64{old[k].Hash, old[k+1].Hash}] = true
		}
	}
	for k := range len(now) - 1 {
		if pairs[[2]uint64{now[k].Hash, now[k+1].Hash}] {
			return true
		}
	}
	return false
}

// bytesAt returns the size of block k, of which k is at least 1: UpTo is the size up to and including a block.
func bytesAt(blocks []prompt.Record, k int) int64 {
	return blocks[k].UpTo.Minus(blocks[k-1].UpTo).Bytes
}

// isAnswer reports whether a block is the assistant's and unlikely to be equal to another one by chance.
func isAnswer(r *prompt.Record, bytes int64) bool {
	return !r.User && r.Section == prompt.Messages && (bytes >= longBlock || r.Kind == prompt.ToolUse)
}

// settingsChanged adds a finding if a change of settings invalidates what was cached of the request before. What is lost is what both requests have
// in common from the first section on whose level, the hash of the settings on which its cache depends, has changed.
func (t *Turn) settingsChanged() {
	conv := t.past.conversation
	from := t.firstInvalid()
	if from < 0 || t.past.shared <= from {
		return // no setting has changed, or the requests have nothing in common that it could drop
	}
	lost := conv.upTo(t.past.shared).Minus(conv.upTo(from))
	// A loss that may be shorter than what the model caches is no finding.
	if t.session.scale.Low(lost) >= t.call.Model.MinTokens {
		t.add(t.stake(t.settingsFinding(Finding{}), lost))
	}
}

// firstInvalid returns the first block of the request before whose cache a change of settings has invalidated, or -1.
func (t *Turn) firstInvalid() int {
	conv, settings, provider := t.past.conversation, &t.prompt.Settings, t.call.Model.Provider
	switch {
	case conv.levels[prompt.Tools] != levelOf(settings, prompt.Tools, provider):
		return 0
	case conv.levels[prompt.System] != levelOf(settings, prompt.System, provider):
		return conv.tools
	// If all settings are the same, only images have changed the level of messages, and they are no setting.
	case conv.settings.All != settings.All && conv.levels[prompt.Messages] != levelOf(settings, prompt.Messages, provider):
		return conv.tools + conv.system
	}
	return -1
}

// settingsFinding fills in a finding about changed settings: which ones, and from which section on the cache is lost.
func (t *Turn) settingsFinding(f Finding) Finding {
	level := "the messages"
	conv := t.past.conversation
	if conv.levels[prompt.System] != levelOf(&t.prompt.Settings, prompt.System, t.call.Model.Provider) {
		level = "the system prompt and the messages"
	}
	f.Rule, f.Where = ruleSettings, "messages"
	// changedSettings names the kinds that differ. It names none if only the order of settings has changed.
	changed := cmp.Or(strings.Join(changedSettings(&conv.settings, &t.prompt.Settings), " and "), "a setting")
	f.Detail = changed + " has changed since the request before, which drops what is cached of " + level
	return f
}

// locationChanged adds a finding if model, profile, region or account have changed in the middle of a conversation.
func (t *Turn) locationChanged() {
	conv := t.past.conversation
	if conv.sharesLocation(&t.call) {
		return
	}
	shared := conv.upTo(t.past.shared)
	if t.session.scale.Low(shared) < max(t.call.Model.MinTokens, 1) || t.past.shared <= conv.tools+conv.system {
		return // too little is common to have been cached, or only the head is: that is another conversation
	}
	what := "its region, profile or account"
	if conv.model != t.call.Model.ID {
		what = "its model"
	}
	t.add(t.stake(Finding{Rule: ruleSwitched, Detail: "the conversation has changed " + what + ", where nothing of it is cached"}, shared))
}
