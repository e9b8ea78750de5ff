package pki

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"drover/api"
)

// LeafPin names one certificate (DER) as join commands do.
func LeafPin(der []byte) string { return pinOf(&x509.Certificate{Raw: der}) }

// LeafTLS dials a server that shows a certificate which is not of its fleet,
// known only by its pin. Who has its key is the server, by whatever name it is
// reached, so neither names nor roots are asked.
func LeafTLS(pin string) (*tls.Config, error) {
	if !isPin(pin) {
		return nil, api.Errorf(api.CodeInvalid, "%.80q is no pin of a certificate", pin).WithRemedy("copy it whole from the join command: sha256: and 64 hex digits")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does it all
		VerifyConnection: func(s tls.ConnectionState) error {
			if LeafPin(s.PeerCertificates[0].Raw) == pin {
				return nil
			}
			return api.Errorf(api.CodeUnauthorized, "the server's certificate is not the one named (%s)", pin).
				WithRemedy("check the address; if the certificate was renewed, make a new join command")
		},
	}, nil
}

func isPin(pin string) bool {
	sum, ok := strings.CutPrefix(pin, "sha256:")
	return ok && len(sum) == 64 && strings.Trim(sum, "0123456789abcdef") == ""
}
