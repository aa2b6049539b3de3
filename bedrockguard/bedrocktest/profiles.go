package bedrocktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/rules"
)

// Functions that serve a request return the refusal that their caller has to write, or nil if they have written the answer. answer writes a body with
// status 200, and returns nil.

// The types of inference profiles.
const (
	systemProfile      = "SYSTEM_DEFINED"
	applicationProfile = "APPLICATION"
)

// inferenceProfiles serves GetInferenceProfile and ListInferenceProfiles of the control plane, and returns false for any other path.
func (s *Server) inferenceProfiles(w http.ResponseWriter, r *http.Request, path []string) (refused *refusal.Error, served bool) {
	if path[0] != "inference-profiles" || r.Method != http.MethodGet {
		return nil, false
	}
	if len(path) > 1 {
		id, _ := url.PathUnescape(strings.Join(path[1:], "/"))
		return s.getProfile(w, id), true
	}
	kind := r.URL.Query().Get("typeEquals") // the name of the field in the SDKs
	if kind == "" {
		kind = r.URL.Query().Get("type") // the name of the parameter in the query that they send
	}
	return s.listProfiles(w, kind), true
}

// getProfile serves GetInferenceProfile. A name in Options.Names is an application's profile; any other id must be that of a geography or of global.
func (s *Server) getProfile(w http.ResponseWriter, id string) *refusal.Error {
	// lookup takes ids as they are in a path, and decodes them.
	m, geography, _, ok := s.lookup(url.PathEscape(id))
	kind := systemProfile
	if _, named := s.opts.Names[id]; named {
		kind = applicationProfile
	}
	// An id without a geography is a model's own, and no profile.
	if !ok || geography == "" && kind == systemProfile {
		return refusal.New(404, "ResourceNotFoundException", "The provided inference profile was not found.")
	}
	return answer(w, s.profileSummary(id, m, geography, kind))
}

// profileSummary describes an inference profile, in the form of GetInferenceProfile and ListInferenceProfiles. A profile without a geography,
// such as an application's, sends requests to the server's own region.
func (s *Server) profileSummary(id string, m *modeltable.Model, geography, kind string) map[string]any {
	const created = "2026-01-01T00:00:00Z"
	// The id may be a whole ARN, as that of an application's profile is, which ends with the profile's own id after a slash.
	arn, own := id, id[strings.LastIndexByte(id, '/')+1:]
	if kind == systemProfile {
		arn = "arn:aws:bedrock:" + s.opts.Region + ":123456789012:inference-profile/" + own
	}
	models := []any{}
	regions := rules.ProfileRegions[geography]
	if regions == nil {
		regions = []string{s.opts.Region}
	}
	for _, region := range regions {
		models = append(models, map[string]any{"modelArn": "arn:aws:bedrock:" + region + "::foundation-model/" + m.ID})
	}
	return map[string]any{
		"inferenceProfileName": own, "inferenceProfileArn": arn, "inferenceProfileId": own, "status": "ACTIVE", "type": kind, "models": models, "createdAt": created, "updatedAt": created, "description": "Routes requests to " + m.ID + ".",
	}
}

// listProfiles lists the profiles of the region's geography, the global ones, and those that Options.Names gives. kind selects one type; empty
// selects both.
func (s *Server) listProfiles(w http.ResponseWriter, kind string) *refusal.Error {
	all := []map[string]any{}
	if kind != applicationProfile {
		geography := rules.GeographyOf(s.opts.Region)
		for id, m := range modeltable.Table().ByID {
			if m.ID != id || !m.ThroughProfiles() && !m.Global { // id is an alias, or the model has no profiles
				continue
			}
			// A model with a global profile has one of each geography, too.
			all = append(all, s.profileSummary(geography+"."+id, m, geography, systemProfile))
			if m.Global {
				all = append(all, s.profileSummary("global."+id, m, "global", systemProfile))
			}
		}
	}
	if kind != systemProfile {
		// Options.Names may also have names that are no profiles.
		for name := range s.opts.Names {
			if m, geography, _, ok := s.lookup(url.PathEscape(name)); ok && strings.Contains(name, "application-inference-profile/") {
				all = append(all, s.profileSummary(name, m, geography, applicationProfile))
			}
		}
	}
	slices.SortFunc(all, func(a, b map[string]any) int {
		return strings.Compare(a["inferenceProfileArn"].(string), b["inferenceProfileArn"].(string))
	})
	return answer(w, map[string]any{"inferenceProfileSummaries": all})
}
