package sdkdoor

import (
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/restjson1"
)

// apartStreams is the SDK's protocol of a client, the code that encodes requests and decodes answers, with one change: each event of a stream is
// decoded by a codec that nobody else uses at the same time. The SDK's own protocol has one codec for all streams of a client. It keeps state
// between the steps of decoding one event, so that two streams at once spoil each other's events (aws/smithy-go#714, seen in v1.28.9).
type apartStreams struct {
	smithyhttp.ClientProtocol
	codecs *sync.Pool // of *restjson1.Protocol
}

// KeepStreamsApart replaces the SDK's own protocol of a client with one whose streams may run at the same time. Any other protocol
// stays.
func KeepStreamsApart(o *bedrockruntime.Options) {
	if own, ok := o.Protocol.(*restjson1.Protocol); ok {
		o.Protocol = apartStreams{own, &sync.Pool{New: func() any { return restjson1.New(nil) }}} // New does not use its schema
	}
}

// DeserializeEventMessage implements smithyhttp.ClientProtocol.
func (p apartStreams) DeserializeEventMessage(schema *smithy.Schema, types *smithy.TypeRegistry, r io.Reader) (smithy.Deserializable, error) {
	codec := p.codecs.Get().(*restjson1.Protocol)
	defer p.codecs.Put(codec)
	return codec.DeserializeEventMessage(schema, types, r)
}
