package bedrocktest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// oneText parses a text to embed, which may fill the model's window. A longer one is refused, unless the request asks for it to be cut.
func (s *Server) oneText(in *inference, text *jsonnode.Node, cut bool) *refusal.Error {
	b := in.addText(s, messages, text, text)
	if b.tokens <= in.model.Window {
		return nil
	}
	if !cut {
		return refusal.Invalid("a text is too long: the maximum is %d tokens", in.model.Window)
	}
	b.tokens = in.model.Window
	return nil
}

// mediaLimit is the length, in seconds, of the longest video or audio that is embedded at once (Nova's guide, 2026-11). The simulator does
// not open media: all count with this length.
const mediaLimit = 30

func (s *Server) parseTitanEmbed(n *jsonnode.Node, in *inference) *refusal.Error {
	if err := n.Only("the request", "inputText", "inputImage", "dimensions", "normalize", "embeddingTypes", "embeddingConfig"); err != nil {
		return err
	}
	in.noOutput, in.request.Messages = true, 1
	text, picture := n.Get("inputText"), n.Get("inputImage")
	if picture != nil && in.model.Fees.Image == 0 || text.Text() == "" && picture.Text() == "" {
		return refusal.Invalid("inputText: a non-empty string is required")
	}
	dimensions := map[bool]int{true: 1024, false: 1536}[picture != nil || strings.Contains(in.model.ID, "v2") || strings.Contains(in.model.ID, "image")]
	if err := in.vector(n, "TEXT", text.Text()+picture.Text(), dimensions, n.Get("dimensions"), n.Get("embeddingConfig").Get("outputEmbeddingLength")); err != nil {
		return err
	}
	if picture != nil {
		in.units += in.model.FeesAt(s.opts.Region).Image
	}
	if text == nil {
		in.add(s, messages, picture.Raw, 0)
		return nil
	}
	in.request.LastText = text.Text()
	return s.oneText(in, text, false)
}

// titanEmbedAnswer returns an answer; the second generation also lists the vectors by their type (as recorded).
func titanEmbedAnswer(in *inference, sv served, _ Reply) any {
	v := in.vectors[0]
	told := map[string]any{"embedding": v.floats(), "inputTextTokenCount": sv.input}
	if strings.Contains(in.model.ID, "text-v2") {
		byType := map[string]any{}
		for _, kind := range v.kinds("float") {
			byType[kind] = v.as(kind)
		}
		told["embeddingsByType"] = byType
		if byType["float"] == nil {
			delete(told, "embedding")
		}
	}
	return told
}

func (s *Server) parseNovaEmbed(n *jsonnode.Node, in *inference) *refusal.Error {
	if err := n.Only("the request", "schemaVersion", "taskType", "singleEmbeddingParams"); err != nil {
		return err
	}
	in.noOutput, in.request.Messages = true, 1
	p := n.Get("singleEmbeddingParams")
	if n.Get("taskType").Text() != "SINGLE_EMBEDDING" || p.Get("embeddingPurpose").Text() == "" {
		return refusal.Invalid("taskType and embeddingPurpose are required")
	}
	price := in.model.FeesAt(s.opts.Region)
	for _, kind := range []string{"text", "image", "video", "audio"} {
		if part := p.Get(kind); part != nil {
			if err := in.vector(n, strings.ToUpper(kind), part.Raw, 3072, p.Get("embeddingDimension")); err != nil {
				return err
			}
			if kind == "video" && part.Get("embeddingMode").Text() == "AUDIO_VIDEO_COMBINED" {
				in.vectors[0].kind = "AUDIO_VIDEO_COMBINED"
			}
		}
	}
	switch text := p.Get("text"); {
	case text.Get("value").Text() != "":
		return s.oneText(in, text.Get("value"), text.Get("truncationMode").Text() != "NONE")
	case p.Get("image") != nil:
		if p.Get("image").Get("detailLevel").Text() == "DOCUMENT_IMAGE" {
			in.units += price.DocumentImage
		} else {
			in.units += price.Image
		}
	case p.Get("video") != nil:
		in.units += mediaLimit * price.VideoSecond
	case p.Get("audio") != nil:
		in.units += mediaLimit * price.AudioSecond
	default:
		return refusal.Invalid("one of text, image, video and audio is required")
	}
	in.add(s, messages, p.Raw, 0)
	return nil
}

func novaEmbedAnswer(in *inference, _ served, _ Reply) any {
	all := []any{}
	for _, v := range in.vectors {
		all = append(all, map[string]any{"embeddingType": v.kind, "embedding": v.floats()})
	}
	return map[string]any{"embeddings": all}
}

// maxEmbedTexts is how many texts one request can hold (Cohere's page in the Bedrock user guide, 2026-11).
const maxEmbedTexts = 96

func (s *Server) parseCohereEmbed(n *jsonnode.Node, in *inference) *refusal.Error {
	err := n.Only("the request", "texts", "images", "input_type", "truncate", "embedding_types", "output_dimension", "max_tokens")
	if err != nil {
		return err
	}
	texts, images := n.Get("texts").List(), n.Get("images").List()
	if len(texts)+len(images) == 0 || n.Get("input_type").Text() == "" {
		return refusal.Invalid("texts and input_type are required")
	}
	if len(texts)+len(images) > maxEmbedTexts {
		return refusal.Invalid("at most %d texts are embedded at once", maxEmbedTexts)
	}
	in.noOutput = true
	in.request.Messages = len(texts) + len(images)
	cut := slices.Contains([]string{"START", "END", "LEFT", "RIGHT"}, n.Get("truncate").Text())
	for _, t := range texts {
		if t.Text() == "" {
			return refusal.Invalid("texts: non-empty strings are required")
		}
		if err := in.vector(n, "texts", t.Text(), cohereDimensions(in.model), n.Get("output_dimension")); err != nil {
			return err
		}
		if err := s.oneText(in, t, cut); err != nil {
			return err
		}
	}
	price := in.model.FeesAt(s.opts.Region)
	for _, i := range images {
		data, ok := dataOf(i.Text())
		if !ok {
			return refusal.Invalid("images: data URLs are required")
		}
		if err := in.vector(n, "images", data, cohereDimensions(in.model), n.Get("output_dimension")); err != nil {
			return err
		}
		in.units += price.Image
		b := in.add(s, messages, i.Raw, 0)
		if price.ImageToken > 0 {
			b.tokens = modeltable.ImageTokens(in.model, data)
			in.imageTokens += b.tokens
		}
	}
	return nil
}

func cohereDimensions(m *modeltable.Model) int {
	if strings.Contains(m.ID, "v4") {
		return 1536
	}
	return 1024
}

// cohereEmbedAnswer returns an answer, which has no token counts: only the header has them. Vectors are listed by type if the request asks
// for types, and always in the fourth generation.
func cohereEmbedAnswer(in *inference, _ served, _ Reply) any {
	told := map[string]any{"id": "embed-" + strconv.Itoa(in.request.Seq), "response_type": "embeddings_floats"}
	texts, plain, byType := []any{}, []any{}, map[string]any{}
	for _, v := range in.vectors {
		if v.kind == "texts" {
			texts = append(texts, v.of)
		}
		plain = append(plain, v.floats())
		for _, kind := range v.kinds("") {
			list, _ := byType[kind].([]any)
			byType[kind] = append(list, v.as(kind))
		}
	}
	told["embeddings"] = plain
	if len(byType) == 0 && strings.Contains(in.model.ID, "v4") {
		byType["float"] = plain
	}
	if len(byType) > 0 {
		told["embeddings"], told["response_type"] = byType, "embeddings_by_type"
	}
	if len(texts) > 0 {
		told["texts"] = texts
	}
	return told
}

// A search unit of a rerank request is one query with up to 100 chunks of documents. A document with more than 512 tokens, including the
// query's, is several chunks; a query takes at most half of a chunk (Amazon Bedrock's pricing page and Cohere's guide, 2026-11).
const (
	chunksPerQuery = 100
	chunkTokens    = 512
	maxReranked    = 1000
)

func (s *Server) parseRerank(n *jsonnode.Node, in *inference) *refusal.Error {
	if err := n.Only("the request", "query", "documents", "top_n", "api_version", "max_tokens_per_doc", "rank_fields"); err != nil {
		return err
	}
	query, documents := n.Get("query"), n.Get("documents").List()
	if query.Text() == "" || len(documents) == 0 || len(documents) > maxReranked {
		return refusal.Invalid("query and 1 to %d documents are required", maxReranked)
	}
	in.noOutput, in.request.Messages, in.request.LastText = true, len(documents), query.Text()
	asked := min(s.opts.count(query.Text()), chunkTokens/2)
	chunks := 0
	for _, d := range documents {
		text := d.Raw
		if d.Kind() == '"' {
			text = d.Text()
		}
		if strings.TrimSpace(text) == "" {
			return refusal.Invalid("documents must not be empty")
		}
		in.documents = append(in.documents, text)
		room := chunkTokens - asked
		chunks += max((s.opts.count(text)+room-1)/room, 1)
	}
	if err := in.ranked(n, len(documents)); err != nil {
		return err
	}
	units := int64((chunks + chunksPerQuery - 1) / chunksPerQuery)
	in.units += units * in.model.FeesAt(s.opts.Region).Query
	in.add(s, messages, n.Raw, 0)
	return nil
}

// ranked sets how many results are returned.
func (in *inference) ranked(n *jsonnode.Node, documents int) *refusal.Error {
	in.topN = documents
	if top := n.Get("top_n"); top != nil {
		v, ok := top.Number()
		if !ok || v < 1 {
			return refusal.Invalid("top_n must be an integer of at least 1")
		}
		in.topN = min(v, documents)
	}
	return nil
}

// rerankAnswer ranks documents by how many words of the query they contain, so that a test can predict the order.
func rerankAnswer(in *inference, _ served, _ Reply) any {
	words := strings.Fields(strings.ToLower(in.request.LastText))
	results := make([]map[string]any, in.request.Messages)
	for i, text := range in.documents {
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
	return map[string]any{"results": results[:in.topN]}
}
