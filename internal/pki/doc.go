// Package pki is the fleet's certificate authority and both ends of its TLS.
//
// A fleet has an id, which is the common name of its roots and stands in every
// certificate's URI: spiffe://FLEET/host/NAME, spiffe://FLEET/server/NAME. So
// a certificate of another fleet is told from one that is wrong otherwise.
//
// The server has a CA. A host has NewKey, Request, PinnedTLS to join, its
// Identity, and VerifyBinary. Nothing here needs the store, so the agent links
// it.
package pki
