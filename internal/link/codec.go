package link

import (
	"encoding/json"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"drover/api"
)

// codec writes messages as JSON, pieces of blobs and samples as they are, and what was
// encoded before (for many hosts at once) as it was.
type codec struct{}

func (codec) Name() string { return "json" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *outgoing:
		return mem.BufferSlice{mem.SliceBuffer(v.data)}, nil
	case *chunk:
		return mem.BufferSlice{mem.SliceBuffer(v.data)}, nil
	case *samples:
		return mem.BufferSlice{mem.SliceBuffer(v.data)}, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(data)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	b := data.Materialize()
	switch v := v.(type) {
	case *chunk:
		v.data = b
		return nil
	case *samples:
		v.data = b
		return nil
	}
	return json.Unmarshal(b, v)
}

// chunk is a piece of a blob.
type chunk struct{ data []byte }

// blobRequest opens a Blob stream.
type blobRequest struct {
	SHA256 string `json:"sha256"`
	Offset int64  `json:"offset,omitempty"`
}

// Metadata keys. Those that end in -bin may hold any bytes.
const (
	errorKey = "drover-error-bin" // an api.Error in JSON, in the trailer
	sizeKey  = "drover-blob-size" // in the header of a Blob stream
)

// refusal turns err into a status and its trailer, so that the other end gets
// the same *api.Error that this end returned.
func refusal(err error) (metadata.MD, error) {
	var e *api.Error
	if !errors.As(err, &e) {
		e = api.Errorf(api.CodeInternal, "%v", err)
	}
	data, jsonErr := json.Marshal(e)
	if jsonErr != nil {
		return nil, status.Error(codes.Internal, e.Message)
	}
	return metadata.Pairs(errorKey, string(data)), status.Error(grpcCode(e.Code), e.Error())
}

func grpcCode(c api.Code) codes.Code {
	switch c {
	case api.CodeInvalid:
		return codes.FailedPrecondition
	case api.CodeUnauthorized:
		return codes.Unauthenticated
	case api.CodeForbidden:
		return codes.PermissionDenied
	case api.CodeNotFound:
		return codes.NotFound
	case api.CodeExists:
		return codes.AlreadyExists
	case api.CodeConflict:
		return codes.Aborted
	case api.CodeTooLarge:
		return codes.ResourceExhausted
	case api.CodeUnavailable:
		return codes.Unavailable
	}
	return codes.Internal
}

// received is the *api.Error that the other end sent with err, or one that
// says how the line broke.
func received(server string, err error, trailer metadata.MD) error {
	if v := trailer.Get(errorKey); len(v) > 0 {
		e := new(api.Error)
		if json.Unmarshal([]byte(v[0]), e) == nil && e.Message != "" {
			return e
		}
	}
	st, ok := status.FromError(err)
	if !ok {
		return api.Errorf(api.CodeUnavailable, "the line to server %s broke: %v", server, err)
	}
	switch st.Code() {
	case codes.ResourceExhausted:
		return api.Errorf(api.CodeTooLarge, "the line to server %s refused a message: %s", server, st.Message())
	case codes.Unimplemented:
		return api.Errorf(api.CodeInvalid, "%s is no Drover link: %s", server, st.Message()).
			WithRemedy("check the address and port of the link (7441 unless set otherwise)")
	}
	return api.Errorf(api.CodeUnavailable, "the line to server %s broke: %s", server, st.Message())
}
