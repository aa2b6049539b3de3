package bedrocktest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// A Vector of the request has its content (Of), the kind of content (Kind) and the types of number that are asked for (Kinds, which returns its
// argument if none are). Floats returns its numbers, and As returns them in one of the types.

// titanEmbedAnswer returns an answer; recordings show that the second generation also lists the vectors by their type.
func titanEmbedAnswer(in *inference, split promptcache.Split, _ Reply) any {
	v := in.Vectors[0]
	out := map[string]any{"embedding": v.Floats(), "inputTextTokenCount": split.Input}
	if strings.Contains(in.Model.ID, "text-v2") {
		byType := map[string]any{}
		// These are the types that the request asks for, or float if it asks for none.
		for _, kind := range v.Kinds("float") {
			byType[kind] = v.As(kind)
		}
		out["embeddingsByType"] = byType
		// The request asks for other types only.
		if byType["float"] == nil {
			delete(out, "embedding")
		}
	}
	return out
}

// novaEmbedAnswer returns an answer, which lists each vector with the kind of its content and has no token counts.
func novaEmbedAnswer(in *inference, _ promptcache.Split, _ Reply) any {
	all := []any{}
	for _, v := range in.Vectors {
		all = append(all, map[string]any{"embeddingType": v.Kind, "embedding": v.Floats()})
	}
	return map[string]any{"embeddings": all}
}

// cohereEmbedAnswer returns an answer, which has no token counts: only the header has them. Vectors are listed by type if the request asks
// for types, and always in the fourth generation.
func cohereEmbedAnswer(in *inference, _ promptcache.Split, _ Reply) any {
	out := map[string]any{"id": "embed-" + strconv.Itoa(in.request.Seq), "response_type": "embeddings_floats"}
	texts, plain, byType := []any{}, []any{}, map[string]any{}
	for _, v := range in.Vectors {
		if v.Kind == "texts" {
			texts = append(texts, v.Of)
		}
		plain = append(plain, v.Floats())
		// These are the types that the request asks for, or none.
		for _, kind := range v.Kinds("") {
			list, _ := byType[kind].([]any)
			byType[kind] = append(list, v.As(kind))
		}
	}
	out["embeddings"] = plain
	if len(byType) == 0 && strings.Contains(in.Model.ID, "v4") {
		byType["float"] = plain
	}
	if len(byType) > 0 {
		out["embeddings"], out["response_type"] = byType, "embeddings_by_type"
	}
	if len(texts) > 0 {
		out["texts"] = texts
	}
	return out
}

// rerankAnswer ranks documents by how many words of the query they contain, so that a test can predict the order: the score is that part of the
// words, kept off 0 and 1. It returns the best TopN.
func rerankAnswer(in *inference, _ promptcache.Split, _ Reply) any {
	words := strings.Fields(strings.ToLower(in.request.LastText))
	// The parser of rerank requests counts each document as a message, and takes the query as the last text.
	results := make([]map[string]any, in.request.Messages)
	for i, text := range in.Documents {
		met := 0
		for _, w := range words {
			if strings.Contains(strings.ToLower(text), w) {
				met++
			}
		}
		results[i] = map[string]any{"index": i, "relevance_score": (float64(met) + 0.5) / (float64(len(words)) + 1)}
	}
	slices.SortStableFunc(results, func(a, b map[string]any) int {
		return cmp.Compare(b["relevance_score"].(float64), a["relevance_score"].(float64))
	})
	return map[string]any{"results": results[:in.TopN]}
}
