package prompt_test

import (
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

const body = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"system":[{"type":"text","text":"Be kind.","cache_control":{"type":"ephemeral"}}],` +
	`"messages":[{"role":"user","content":[{"type":"text","text":"Fix the build."}]}]}`

// What a model reads of a request, and where its cache points are.
func ExampleParseBody() {
	var request prompt.Prompt
	if err := prompt.ParseBody(&request, "anthropic", []byte(body)); err != nil {
		panic(err)
	}
	for _, block := range request.Blocks {
		fmt.Println(block.Where, "is", block.Kind, "of", block.Bytes, "bytes")
	}
	for _, point := range request.Points {
		fmt.Println("a cache point behind", request.Blocks[point.Block].Where, "for", point.TTL)
	}
	// Output:
	// system[0] is text of 8 bytes
	// messages[0].content[0] is text of 14 bytes
	// a cache point behind system[0] for 5m0s
}

// Move a cache point, and change nothing else.
func ExampleEditBody() {
	var request prompt.Prompt
	if err := prompt.ParseBody(&request, "anthropic", []byte(body)); err != nil {
		panic(err)
	}
	edited, _, err := prompt.EditBody([]byte(body), &request, []prompt.Edit{{Remove: 0, After: 1, TTL: prompt.OneHour}})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(edited))
	// Output: {"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"system":[{"type":"text","text":"Be kind."}],"messages":[{"role":"user","content":[{"type":"text","text":"Fix the build.","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}
}

// A front door that has a request in types of its own tells its parts in the order in which the service reads them. Two requests are compared by their
// records.
func ExamplePrompt_Record() {
	request := func(question string) *prompt.Prompt {
		p := new(prompt.Prompt)
		p.Enter(prompt.System)
		p.Block(prompt.Text, 0)
		p.Text("Be kind.")
		p.Message(0, true)
		p.Block(prompt.Text, 0)
		p.Text(question)
		p.Record(nil)
		return p
	}
	one, other := request("Fix the build.").Records(), request("Write a test.").Records()
	fmt.Println(one[0].Chain == other[0].Chain, one[1].Chain == other[1].Chain)
	// Output: true false
}
