// Package pki is the fleet's certificate authority and both ends of its TLS.
//
// A fleet has an id, which is the common name of its root and stands in every
// certificate's URI: spiffe://FLEET/host/NAME, spiffe://FLEET/server/NAME. So
// a certificate of another fleet is told from a wrong one. Server: CA. Host:
// NewKey, Request, Identity, VerifyBinary; these need no store.
package pki
