package dialects

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// oneText parses a text to embed, which may fill the model's window. A longer one is refused, unless the request asks for it to be cut.
func (r *Reader) oneText(in *Prompt, text *jsonnode.Node, cut bool) *refusal.Error {
	// addText appends a block with its tokens. It takes the node that identifies the block, and the text in it, here the same.
	b := in.addText(r, Messages, text, text)
	if b.Tokens <= in.Model.Window {
		return nil
	}
	if !cut {
		return refusal.Invalid("a text is too long: the maximum is %d tokens", in.Model.Window)
	}
	b.Tokens = in.Model.Window
	return nil
}

// mediaLimit is the length, in seconds, of the longest video or audio that is embedded at once (Nova's guide, 2026-11). The simulator does
// not open media: all count with this length.
const mediaLimit = 30

// ParseTitanEmbed parses the bodies of Titan's embeddings: a text, an image or both, which have one vector. A text is billed by tokens and an
// image by a fee, so a model without that fee takes no images.
func (r *Reader) ParseTitanEmbed(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := n.Only("the request", "inputText", "inputImage", "dimensions", "normalize", "embeddingTypes", "embeddingConfig"); err != nil {
		return err
	}
	in.NoOutput, in.MessageCount = true, 1
	text, picture := n.Get("inputText"), n.Get("inputImage")
	if picture != nil && in.Model.Fees.Image == 0 || text.Text() == "" && picture.Text() == "" {
		return refusal.Invalid("inputText: a non-empty string is required")
	}
	// The first Titan for text makes vectors of 1,536 numbers, all others of 1,024.
	dimensions := 1536
	if picture != nil || strings.Contains(in.Model.ID, "v2") || strings.Contains(in.Model.ID, "image") {
		dimensions = 1024
	}
	if err := in.vector(n, "TEXT", text.Text()+picture.Text(), dimensions, n.Get("dimensions"), n.Get("embeddingConfig").Get("outputEmbeddingLength")); err != nil {
		return err
	}
	if picture != nil {
		in.Units += in.Model.FeesAt(r.Region).Image
	}
	// An image alone is a block without tokens: its price is the fee above.
	if text == nil {
		in.add(r, Messages, picture.Raw, 0)
		return nil
	}
	in.LastText = text.Text()
	return r.oneText(in, text, false)
}

// ParseNovaEmbed parses the bodies of Nova's embeddings: a text, an image, a video or audio. A text is billed by tokens, all else by a fee
// (in.Units).
func (r *Reader) ParseNovaEmbed(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := n.Only("the request", "schemaVersion", "taskType", "singleEmbeddingParams"); err != nil {
		return err
	}
	in.NoOutput, in.MessageCount = true, 1
	params := n.Get("singleEmbeddingParams")
	if n.Get("taskType").Text() != "SINGLE_EMBEDDING" || params.Get("embeddingPurpose").Text() == "" {
		return refusal.Invalid("taskType and embeddingPurpose are required")
	}
	if err := in.novaVectors(n, params); err != nil {
		return err
	}
	if text := params.Get("text"); text.Get("value").Text() != "" {
		return r.oneText(in, text.Get("value"), text.Get("truncationMode").Text() != "NONE")
	}
	fee, ok := novaFee(in.Model.FeesAt(r.Region), params)
	if !ok {
		return refusal.Invalid("one of text, image, video and audio is required")
	}
	in.Units += fee
	// A block without tokens: the price is in Units.
	in.add(r, Messages, params.Raw, 0)
	return nil
}

// novaVectors adds the vector of what is embedded to the answer. The model's own vectors have 3,072 dimensions. n is the body, in which in.vector
// looks for the requested types of number; params is the member that names what is embedded.
func (in *Prompt) novaVectors(n, params *jsonnode.Node) *refusal.Error {
	for _, kind := range []string{"text", "image", "video", "audio"} {
		part := params.Get(kind)
		if part == nil {
			continue
		}
		if err := in.vector(n, strings.ToUpper(kind), part.Raw, 3072, params.Get("embeddingDimension")); err != nil {
			return err
		}
		if kind == "video" && part.Get("embeddingMode").Text() == "AUDIO_VIDEO_COMBINED" {
			in.Vectors[0].Kind = "AUDIO_VIDEO_COMBINED"
		}
	}
	return nil
}

// novaFee returns the price in nano-USD of an image, a video or audio to embed, and false if there is none of them. Videos and audio are not opened:
// each counts with the greatest length.
func novaFee(fees modeltable.Fees, params *jsonnode.Node) (int64, bool) {
	switch image := params.Get("image"); {
	case image != nil && image.Get("detailLevel").Text() == "DOCUMENT_IMAGE":
		return fees.DocumentImage, true
	case image != nil:
		return fees.Image, true
	case params.Get("video") != nil:
		return mediaLimit * fees.VideoSecond, true
	case params.Get("audio") != nil:
		return mediaLimit * fees.AudioSecond, true
	default:
		return 0, false
	}
}

// maxEmbedTexts is how many texts one request can hold (Cohere's page in the Bedrock user guide, 2026-11).
const maxEmbedTexts = 96

// ParseCohereEmbed parses the bodies of Cohere's embeddings: texts and images. An image is billed by a fee, or by its tokens if the model has a
// rate for them.
func (r *Reader) ParseCohereEmbed(n *jsonnode.Node, in *Prompt) *refusal.Error {
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
	in.NoOutput = true
	in.MessageCount = len(texts) + len(images)
	for _, t := range texts {
		if err := r.cohereText(n, t, in); err != nil {
			return err
		}
	}
	for _, i := range images {
		if err := r.cohereImage(n, i, in); err != nil {
			return err
		}
	}
	return nil
}

// cohereText reads one text to embed. n is the body, with the settings. With one of the values of truncate a text that is too long is cut at one end;
// otherwise it is refused.
func (r *Reader) cohereText(n, text *jsonnode.Node, in *Prompt) *refusal.Error {
	if text.Text() == "" {
		return refusal.Invalid("texts: non-empty strings are required")
	}
	if err := in.vector(n, "texts", text.Text(), cohereDimensions(in.Model), n.Get("output_dimension")); err != nil {
		return err
	}
	cut := slices.Contains([]string{"START", "END", "LEFT", "RIGHT"}, n.Get("truncate").Text())
	return r.oneText(in, text, cut)
}

// cohereImage reads one image to embed. n is the body, with the settings. A model has one of two prices, and the other one is zero: a fee for the
// image, or a rate for its tokens. dataOf returns the base64 in a data URL; ok is false for any other text.
func (r *Reader) cohereImage(n, image *jsonnode.Node, in *Prompt) *refusal.Error {
	data, ok := dataOf(image.Text())
	if !ok {
		return refusal.Invalid("images: data URLs are required")
	}
	if err := in.vector(n, "images", data, cohereDimensions(in.Model), n.Get("output_dimension")); err != nil {
		return err
	}
	price := in.Model.FeesAt(r.Region)
	in.Units += price.Image
	b := in.add(r, Messages, image.Raw, 0)
	if price.ImageToken > 0 {
		b.Tokens = modeltable.ImageTokens(in.Model, data)
		in.ImageTokens += b.Tokens
	}
	return nil
}

// cohereDimensions returns the dimensions of a vector for which the request names none.
func cohereDimensions(m *modeltable.Model) int {
	if strings.Contains(m.ID, "v4") {
		return 1536
	}
	return 1024
}

// A search unit of a rerank request is one query with up to 100 chunks of documents. A document with more than 512 tokens, including the
// query's, is several chunks; a query takes at most half of a chunk (Amazon Bedrock's pricing page and Cohere's guide, 2026-11).
const (
	chunksPerQuery = 100
	chunkTokens    = 512
	maxReranked    = 1000
)

// ParseRerank parses a query and the documents to rank by it, and bills search units (in.Units). Each chunk of a document has room for tokens of the
// document beside those of the query.
func (r *Reader) ParseRerank(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := n.Only("the request", "query", "documents", "top_n", "api_version", "max_tokens_per_doc", "rank_fields"); err != nil {
		return err
	}
	query, documents := n.Get("query"), n.Get("documents").List()
	if query.Text() == "" || len(documents) == 0 || len(documents) > maxReranked {
		return refusal.Invalid("query and 1 to %d documents are required", maxReranked)
	}
	in.NoOutput, in.MessageCount, in.LastText = true, len(documents), query.Text()
	// Plain is the count of tokens that is not scaled to a model's tokenizer.
	room := chunkTokens - min(r.Plain(query.Text()), chunkTokens/2)
	chunks := 0
	for _, d := range documents {
		text, err := rankedText(d)
		if err != nil {
			return err
		}
		in.Documents = append(in.Documents, text)
		chunks += max((r.Plain(text)+room-1)/room, 1) // a document is one chunk at least
	}
	if err := in.ranked(n, len(documents)); err != nil {
		return err
	}
	units := int64((chunks + chunksPerQuery - 1) / chunksPerQuery)
	in.Units += units * in.Model.FeesAt(r.Region).Query
	// A block without tokens: the price is in Units.
	in.add(r, Messages, n.Raw, 0)
	return nil
}

// rankedText returns the text of a document to rank: a string, or the JSON of an object.
func rankedText(d *jsonnode.Node) (string, *refusal.Error) {
	text := d.Raw
	if d.Kind() == '"' {
		text = d.Text()
	}
	if strings.TrimSpace(text) == "" {
		return "", refusal.Invalid("documents must not be empty")
	}
	return text, nil
}

// ranked sets how many results are returned: top_n, or one for each document.
func (in *Prompt) ranked(n *jsonnode.Node, documents int) *refusal.Error {
	in.TopN = documents
	if top := n.Get("top_n"); top != nil {
		v, ok := top.Number()
		if !ok || v < 1 {
			return refusal.Invalid("top_n must be an integer of at least 1")
		}
		in.TopN = min(v, documents)
	}
	return nil
}
