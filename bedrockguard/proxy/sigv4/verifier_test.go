package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const (
	keyID  = "AKIDEXAMPLE"
	secret = "a secret of no value"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func secrets(_ context.Context, id string) ([][]byte, error) {
	if id != keyID {
		return nil, ErrUnknownKey
	}
	return [][]byte{[]byte(secret)}, nil
}

func verifier() *Verifier {
	return New(Options{Secrets: secrets, Now: func() time.Time { return noon }})
}

// draft is a request before it is signed.
type draft struct {
	method, target, host, body, service string
	header                              http.Header
	at                                  time.Time
	secret                              string
}

func plain() draft {
	return draft{
		method: http.MethodPost, target: "/model/us.anthropic.claude-sonnet-5-v1%3A0/converse", host: "127.0.0.1:8080", body: `{"messages":[]}`,
		service: "bedrock", header: http.Header{"Content-Type": {"application/json"}, "Accept-Encoding": {"identity"}}, at: noon, secret: secret,
	}
}

// signed returns what a server gets of a draft that the AWS SDK for Go has signed.
func (d *draft) signed(t require.TestingT) *http.Request {
	// The signer takes the path from URL.EscapedPath, so the target goes in as it is to be sent.
	u, err := url.Parse("http://" + d.host + d.target)
	require.NoError(t, err)
	out, err := http.NewRequest(d.method, u.String(), strings.NewReader(d.body))
	require.NoError(t, err)
	out.Header = d.header.Clone()
	sum := sha256.Sum256([]byte(d.body))
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: d.secret}, out, hex.EncodeToString(sum[:]), d.service, "us-east-1", d.at)
	require.NoError(t, err)
	in := httptest.NewRequest(d.method, out.URL.RequestURI(), strings.NewReader(d.body))
	in.Host, in.Header = out.Host, out.Header // the signer leaves the usual port out, on the wire, too
	in.RequestURI = out.URL.RequestURI()
	return in
}

func TestVerify_WhatTheSDKSigns(t *testing.T) {
	for name, change := range map[string]func(*draft){
		"plain":               func(*draft) {},
		"colon as it is":      func(d *draft) { d.target = "/model/a:0/invoke" },
		"slash in an ARN":     func(d *draft) { d.target = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/invoke" },
		"query":               func(d *draft) { d.target = "/anthropic/v1/messages?beta=true" },
		"query to be ordered": func(d *draft) { d.target = "/x?b=2&a=1&a=%2F&c&=&a=-" },
		"query with a space":  func(d *draft) { d.target = "/x?q=a%20b%2Bc" },
		"no path":             func(d *draft) { d.target = "/" },
		"get": func(d *draft) {
			d.method, d.target, d.body = http.MethodGet, "/inference-profiles?type=SYSTEM_DEFINED", ""
		},
		"mantle":  func(d *draft) { d.service = "bedrock-mantle" },
		"no port": func(d *draft) { d.host = "proxy.example.com" },
		"values":  func(d *draft) { d.header["X-App"] = []string{" a  b ", "c", ""} },
		"token":   func(d *draft) { d.header.Set("X-Amz-Security-Token", "token") },
		"hash in a header": func(d *draft) {
			sum := sha256.Sum256([]byte(d.body))
			d.header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		},
		"nearly too old":  func(d *draft) { d.at = noon.Add(-5 * time.Minute) },
		"nearly too soon": func(d *draft) { d.at = noon.Add(5 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			d := plain()
			change(&d)
			id, err := verifier().Verify(d.signed(t), []byte(d.body))
			require.NoError(t, err)
			assert.Equal(t, keyID, id)
		})
	}
}

// sign signs by hand what a client has signed in another way than the AWS SDK for Go.
func sign(r *http.Request, names, payload string) {
	a := authorization{accessKeyID: keyID, day: "20261129", region: "us-east-1", service: "bedrock", signed: strings.Split(names, ";")}
	r.Header.Set("X-Amz-Date", noon.Format(amzTime))
	request, err := canonicalRequest(r, &a, payload)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte(request))
	key := []byte("AWS4" + secret)
	for _, step := range []string{a.day, a.region, a.service, ending, algorithm + "\n" + noon.Format(amzTime) + "\n" + a.scope() + "\n" + hex.EncodeToString(sum[:])} {
		key = mac(key, step)
	}
	r.Header.Set("Authorization", algorithm+" Credential="+keyID+"/"+a.scope()+",SignedHeaders="+names+",Signature="+hex.EncodeToString(key))
}

func TestVerify_OverTheWire(t *testing.T) {
	type result struct {
		id  string
		err error
	}
	got := make(chan result, 1)
	v := verifier()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, err := v.Verify(r, body)
		got <- result{id, err}
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for _, target := range []string{"/model/a%3A0/converse", "/model/a:1/converse?x=1&y=a%20b", "/model/arn%3Aaws%2Fx/invoke"} {
		d := plain()
		d.host, d.target = strings.TrimPrefix(server.URL, "http://"), target
		in := d.signed(t)
		out, err := http.NewRequest(d.method, server.URL+in.RequestURI, strings.NewReader(d.body))
		require.NoError(t, err)
		out.Header = in.Header
		res, err := http.DefaultClient.Do(out)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		r := <-got
		require.NoError(t, r.err, target)
		assert.Equal(t, keyID, r.id)
	}
}

func TestVerify_AuthorityForHost(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/model/a%3A0/converse", http.NoBody)
	r.Host = "127.0.0.1:8080"
	sum := sha256.Sum256(nil)
	sign(r, ":authority;content-length;x-amz-date", hex.EncodeToString(sum[:]))
	_, err := verifier().Verify(r, nil)
	require.NoError(t, err)
	r.Host = "127.0.0.1:8081"
	_, err = verifier().Verify(r, nil)
	require.ErrorIs(t, err, ErrMismatch)
}

func TestVerify_Refusals(t *testing.T) {
	authorization := func(old, replacement string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, replacement, 1))
		}
	}
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	for name, tc := range map[string]struct {
		change func(*http.Request)
		want   error
	}{
		"no authorization":          {func(r *http.Request) { r.Header.Del("Authorization") }, ErrUnsigned},
		"bearer":                    {header("Authorization", "Bearer bg-x"), ErrUnsigned},
		"two authorizations":        {func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, ErrMalformed},
		"another algorithm":         {authorization(algorithm, "AWS4-ECDSA-P256-SHA256"), ErrMalformed},
		"no signature":              {authorization(", Signature=", ", Nothing="), ErrMalformed},
		"short signature":           {authorization("Signature=", "Signature=00"), ErrMalformed},
		"two credentials":           {authorization("Credential=", "Credential=AKIDEXAMPLE/20261129/us-east-1/bedrock/aws4_request, Credential="), ErrMalformed},
		"another end of the scope":  {authorization("aws4_request", "aws5_request"), ErrMalformed},
		"another service":           {authorization("/bedrock/", "/s3/"), ErrMalformed},
		"another region":            {authorization("us-east-1", "us-west-2"), ErrMismatch},
		"another day":               {authorization("20261129", "20261128"), ErrMalformed},
		"a part of the day":         {authorization("20261129", "2026"), ErrMalformed},
		"more than the day":         {authorization("20261129", "20261129T120000Z"), ErrMalformed},
		"a day longer than a date":  {authorization("20261129", strings.Repeat("20261129", 8)), ErrMalformed},
		"another key":               {authorization(keyID, "AKIDOTHER"), ErrUnknownKey},
		"headers out of order":      {authorization("SignedHeaders=accept-encoding;", "SignedHeaders=host;accept-encoding;"), ErrMalformed},
		"a header less":             {authorization("accept-encoding;", ""), ErrMismatch},
		"Host not signed":           {authorization(";host", ""), ErrMalformed},
		"date not signed":           {authorization(";x-amz-date", ""), ErrMalformed},
		"a header that is not here": {func(r *http.Request) { r.Header.Del("Content-Type") }, ErrMismatch},
		"path":                      {func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "%3A", ":", 1) }, ErrMismatch},
		"path in another case":      {func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "%3A", "%3a", 1) }, ErrMismatch},
		"path of a proxy":           {func(r *http.Request) { r.RequestURI = "http://127.0.0.1:8080" + r.RequestURI }, ErrMalformed},
		"no path":                   {func(r *http.Request) { r.RequestURI = "*" }, ErrMalformed},
		"query":                     {func(r *http.Request) { r.RequestURI += "?a=b" }, ErrMismatch},
		"query cut short":           {func(r *http.Request) { r.RequestURI += "?a=%2" }, ErrMalformed},
		"query with a sign":         {func(r *http.Request) { r.RequestURI += "?a=%+1" }, ErrMalformed},
		"method":                    {func(r *http.Request) { r.Method = http.MethodPut }, ErrMismatch},
		"Host":                      {func(r *http.Request) { r.Host = "127.0.0.1" }, ErrMismatch},
		"header":                    {header("Accept-Encoding", "gzip"), ErrMismatch},
		"header twice":              {header("Accept-Encoding", "identity", "gzip"), ErrMismatch},
		"length":                    {func(r *http.Request) { r.ContentLength++; r.Header.Del("Content-Length") }, ErrMismatch},
		"date":                      {header("X-Amz-Date", "20261129T120001Z"), ErrMismatch},
		"two dates":                 {header("X-Amz-Date", "20261129T120000Z", "20261129T120000Z"), ErrMalformed},
		"date with a fraction":      {header("X-Amz-Date", "20261129T120000.1Z"), ErrMalformed},
		"no date":                   {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, ErrMalformed},
		"hash of another body":      {header("X-Amz-Content-Sha256", strings.Repeat("0", 64)), ErrPayload},
		"no hash of the body":       {header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), ErrPayload},
		"a body in pieces":          {header("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), ErrPayload},
		"token not signed":          {header("X-Amz-Security-Token", "token"), ErrMalformed},
		"tier not signed":           {header("X-Amzn-Bedrock-Service-Tier", "flex"), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			d := plain()
			r := d.signed(t)
			tc.change(r)
			id, err := verifier().Verify(r, []byte(d.body))
			require.ErrorIs(t, err, tc.want)
			assert.Empty(t, id)
			assert.NotContains(t, err.Error(), secret)
		})
	}
	d := plain()
	_, err := verifier().Verify(d.signed(t), []byte(d.body+" "))
	require.ErrorIs(t, err, ErrMismatch, "body")
	for _, off := range []time.Duration{5*time.Minute + time.Second, 24 * time.Hour} {
		for _, at := range []time.Time{noon.Add(off), noon.Add(-off)} {
			d := plain()
			d.at = at
			_, err := verifier().Verify(d.signed(t), []byte(d.body))
			require.ErrorIs(t, err, ErrSkew)
		}
	}
}

func TestVerify_Secrets(t *testing.T) {
	d := plain()
	verify := func(all [][]byte, err error) error {
		v := New(Options{Now: func() time.Time { return noon }, Secrets: func(context.Context, string) ([][]byte, error) { return all, err }})
		_, err = v.Verify(d.signed(t), []byte(d.body))
		return err
	}
	require.NoError(t, verify([][]byte{[]byte("another"), []byte(secret)}, nil), "a master key rotates")
	require.NoError(t, verify([][]byte{[]byte(secret), []byte("another")}, nil))
	require.ErrorIs(t, verify([][]byte{[]byte("another")}, nil), ErrMismatch)
	require.ErrorIs(t, verify(nil, nil), ErrUnknownKey)
	away := errors.New("the store is away")
	err := verify([][]byte{[]byte(secret)}, away)
	require.ErrorIs(t, err, away)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, keyID, e.AccessKeyID)
	d.secret = ""
	require.Error(t, verify([][]byte{nil, {}}, nil), "an empty secret is known to everybody")
	_, err = New(Options{Now: func() time.Time { return noon }}).Verify(d.signed(t), []byte(d.body))
	require.ErrorIs(t, err, ErrUnknownKey, "nobody to ask")
}

func TestScreen_NeedsNoBodyAndTakesNoNote(t *testing.T) {
	d := plain()
	v := verifier()
	r := d.signed(t)
	r.Body = nil
	require.NoError(t, v.Screen(r))
	require.NoError(t, v.Screen(r), "nothing was served")
	_, err := v.Verify(r, []byte(d.body))
	require.NoError(t, err)
	for name, change := range map[string]func(*http.Request){
		"unsigned": func(r *http.Request) { r.Header.Del("Authorization") },
		"another key": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), keyID, "OTHER", 1))
		},
		"too old": func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261129T110000Z") },
	} {
		r := d.signed(t)
		change(r)
		err := v.Screen(r)
		require.Error(t, err, name)
		_, same := v.Verify(r, []byte(d.body))
		require.Equal(t, same, err, name)
	}
}

func TestSigned(t *testing.T) {
	d := plain()
	r := d.signed(t)
	assert.True(t, Signed(r))
	r.Header.Set("Authorization", "Bearer AWS4-")
	assert.False(t, Signed(r))
	r.Header.Add("Authorization", "aws4-hmac-sha256 x")
	assert.True(t, Signed(r), "what looks like one is not taken for a bearer key")
}

// drawn is any request that a client can make.
func drawn(t *rapid.T) draft {
	d := plain()
	d.method = rapid.SampledFrom([]string{http.MethodPost, http.MethodGet, http.MethodDelete}).Draw(t, "method")
	d.service = rapid.SampledFrom([]string{"bedrock", "bedrock-mantle"}).Draw(t, "service")
	segment := rapid.SampledFrom([]string{"model", ":", "%3A", "%2F", "a-b", "~", "%25", "%C3%A9", "=", "@", "invoke", "+", "%2B", "%3a", "*", "(", "!"})
	d.target = ""
	for range rapid.IntRange(1, 5).Draw(t, "segments") {
		d.target += "/" + strings.Join(rapid.SliceOfN(segment, 1, 3).Draw(t, "segment"), "")
	}
	part := rapid.StringMatching(`([a-zA-Z0-9._~-]|%2F|%3A|%20|%2B|%C3%A9|/|:)*`)
	for i := range rapid.IntRange(0, 3).Draw(t, "parameters") {
		d.target += map[bool]string{true: "?", false: "&"}[i == 0] + part.Draw(t, "name") + "=" + part.Draw(t, "value")
	}
	d.body = rapid.String().Draw(t, "body")
	d.host = rapid.SampledFrom([]string{"127.0.0.1:8080", "localhost", "proxy.example.com:443", "[::1]:80"}).Draw(t, "host")
	for i := range rapid.IntRange(0, 4).Draw(t, "headers") {
		d.header["X-Odd-"+strconv.Itoa(i)] = rapid.SliceOfN(rapid.StringMatching(`[ -~]*`), 1, 3).Draw(t, "values")
	}
	return d
}

// Whatever a client signs verifies once, and no byte of it can be another.
func TestVerify_AnyRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawn(t)
		r := d.signed(t)
		v := verifier()
		_, err := v.Verify(r, []byte(d.body))
		require.NoError(t, err)
		_, err = v.Verify(r, []byte(d.body))
		require.ErrorIs(t, err, ErrReplayed)

		changed := r.Clone(context.Background())
		body := []byte(d.body)
		flip := func(s string) string {
			b := []byte(s)
			i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
			b[i] ^= byte(rapid.IntRange(1, 127).Draw(t, "bits"))
			return string(b)
		}
		switch where := rapid.SampledFrom([]string{"target", "host", "body", "date", "header", "authorization"}).Draw(t, "where"); where {
		case "target":
			changed.RequestURI = flip(changed.RequestURI)
			if sameQuery(changed.RequestURI, r.RequestURI) {
				return // another spelling of the same query, as SigV4 has it
			}
		case "host":
			changed.Host = flip(changed.Host)
		case "body":
			body = []byte(flip(d.body + "x"))
		case "date":
			changed.Header.Set("X-Amz-Date", flip(changed.Header.Get("X-Amz-Date")))
		case "header":
			changed.Header.Set("Content-Type", flip(changed.Header.Get("Content-Type")))
		case "authorization":
			text := flip(changed.Header.Get("Authorization"))
			if text == changed.Header.Get("Authorization") || strings.TrimRight(text, " ") == changed.Header.Get("Authorization") {
				return
			}
			changed.Header.Set("Authorization", text)
		}
		_, err = verifier().Verify(changed, body)
		require.Error(t, err)
	})
}

func sameQuery(a, b string) bool {
	pathA, a, _ := strings.Cut(a, "?")
	pathB, b, _ := strings.Cut(b, "?")
	a, okA := queryOf(a)
	b, okB := queryOf(b)
	return pathA == pathB && okA && okB && a == b
}

func FuzzAuthorization(f *testing.F) {
	d := plain()
	f.Add(d.signed(f).Header.Get("Authorization"), "/x?a=b&c", "20261129T120000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=a/20261129/r/bedrock/aws4_request,SignedHeaders=:authority;x-amz-date,Signature="+strings.Repeat("0", 64), "/%", "")
	f.Add("AWS4-HMAC-SHA256 ,,=,Signature=", "?%%%", "x")
	f.Fuzz(func(t *testing.T, text, target, date string) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(nil))
		r.RequestURI = target
		r.Header = http.Header{"Authorization": {text}, "X-Amz-Date": {date}}
		id, err := verifier().Verify(r, nil)
		require.Error(t, err, "nobody has signed it")
		require.Empty(t, id)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.NotEmpty(t, e.Error())
		a, err := parseAuthorization(text)
		if err == nil {
			require.NotEmpty(t, a.accessKeyID)
			require.NotEmpty(t, a.signed)
		}
	})
}
