package sourcetest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// GitHub speaks as much of GitHub's REST API as releases need, in its shapes:
// releases by tag and latest, assets page by page, downloads by redirect to a
// storage host, private repositories, and the rate limit.
type GitHub struct {
	*CDN         // the API, at URL, and downloads for browsers
	Storage *CDN // where the assets lie; another host

	mu       sync.Mutex
	releases []*ghRelease
	// Private repositories are shown to who has Token.
	private bool
	token   string
	// digests says whether the API tells digests, as it does of new assets.
	digests bool
	limit   int // requests left; -1: no end
	reset   time.Time
	ids     int64
}

type ghRelease struct {
	id         int64
	tag        string
	prerelease bool
	assets     []*ghAsset
}

type ghAsset struct {
	id      int64
	name    string
	content []byte
}

// NewGitHub starts it with one repository, lkup/images, without releases.
func NewGitHub(t testing.TB) *GitHub {
	g := &GitHub{CDN: unstarted(), Storage: NewCDN(t, false), limit: -1}
	g.Config.Handler = http.HandlerFunc(g.serveAPI)
	g.Start()
	g.closeAfter(t)
	return g
}

// Release makes a release, or adds assets to one, or uploads them anew.
func (g *GitHub) Release(tag string, assets map[string][]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	release := g.find(tag)
	if release == nil {
		g.ids++
		release = &ghRelease{id: g.ids, tag: tag, prerelease: strings.Contains(tag, "-rc")}
		g.releases = append(g.releases, release)
	}
	for name, content := range assets {
		g.ids++
		release.assets = slices.DeleteFunc(slices.Clone(release.assets), func(a *ghAsset) bool { return a.name == name })
		release.assets = append(release.assets, &ghAsset{id: g.ids, name: name, content: content})
		g.Storage.Put(fmt.Sprintf("/bucket/%d", g.ids), content)
	}
}

// Digests lets the API tell the assets' digests.
func (g *GitHub) Digests() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.digests = true
}

// Hide hides the repository from who has not this token.
func (g *GitHub) Hide(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.private, g.token = true, token
}

// Limit sets how many requests are left until a time.
func (g *GitHub) Limit(left int, reset time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit, g.reset = left, reset
}

func (g *GitHub) find(tag string) *ghRelease {
	for _, r := range g.releases {
		if r.tag == tag {
			return r
		}
	}
	return nil
}

const repository = "/repos/lkup/images"

func (g *GitHub) serveAPI(w http.ResponseWriter, r *http.Request) {
	g.CDN.mu.Lock()
	g.seen = append(g.seen, r)
	g.CDN.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	authorized := r.Header.Get("Authorization") == "Bearer "+g.token && g.token != ""
	if path, ok := strings.CutPrefix(r.URL.Path, "/lkup/images/releases/download/"); ok {
		g.browse(w, r, path, authorized)
		return
	}
	if r.Header.Get("Authorization") != "" && !authorized {
		complain(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	if !g.count(w) {
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, repository)
	if !ok || g.private && !authorized {
		complain(w, http.StatusNotFound, "Not Found")
		return
	}
	g.answer(w, r, path)
}

// count counts a request against the limit.
func (g *GitHub) count(w http.ResponseWriter) bool {
	if g.limit < 0 {
		return true
	}
	w.Header().Set("X-RateLimit-Limit", "60")
	w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(g.reset.Unix(), 10))
	w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(max(g.limit-1, 0)))
	if g.limit == 0 {
		complain(w, http.StatusForbidden, "API rate limit exceeded for 127.0.0.1.")
		return false
	}
	g.limit--
	return true
}

func complain(w http.ResponseWriter, status int, message string) {
	say(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)})
}

func say(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (g *GitHub) answer(w http.ResponseWriter, r *http.Request, path string) {
	switch {
	case path == "":
		say(w, http.StatusOK, map[string]any{"id": 1, "full_name": "lkup/images", "private": g.private})
	case path == "/releases":
		var all []any
		for i := len(g.releases) - 1; i >= 0; i-- {
			all = append(all, g.shape(g.releases[i]))
		}
		say(w, http.StatusOK, all)
	case path == "/releases/latest":
		for i := len(g.releases) - 1; i >= 0; i-- {
			if !g.releases[i].prerelease {
				say(w, http.StatusOK, g.shape(g.releases[i]))
				return
			}
		}
		complain(w, http.StatusNotFound, "Not Found")
	case strings.HasPrefix(path, "/releases/tags/"):
		if found := g.find(strings.TrimPrefix(path, "/releases/tags/")); found != nil {
			say(w, http.StatusOK, g.shape(found))
			return
		}
		complain(w, http.StatusNotFound, "Not Found")
	case strings.HasPrefix(path, "/releases/assets/"):
		g.download(w, r, strings.TrimPrefix(path, "/releases/assets/"))
	default:
		g.page(w, r, path)
	}
}

// page answers /releases/ID/assets.
func (g *GitHub) page(w http.ResponseWriter, r *http.Request, path string) {
	for _, release := range g.releases {
		if path != fmt.Sprintf("/releases/%d/assets", release.id) {
			continue
		}
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		number, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, number = min(max(size, 1), 100), max(number, 1)
		from, to := min((number-1)*size, len(release.assets)), min(number*size, len(release.assets))
		if to < len(release.assets) {
			w.Header().Set("Link", fmt.Sprintf(`<%s%s%s?per_page=%d&page=%d>; rel="next", <%s/>; rel="last"`, g.URL, repository, path, size, number+1, g.URL))
		}
		say(w, http.StatusOK, g.shapes(release.tag, release.assets[from:to]))
		return
	}
	complain(w, http.StatusNotFound, "Not Found")
}

func (g *GitHub) shape(r *ghRelease) map[string]any {
	return map[string]any{
		"url": fmt.Sprintf("%s%s/releases/%d", g.URL, repository, r.id), "id": r.id,
		"assets_url": fmt.Sprintf("%s%s/releases/%d/assets", g.URL, repository, r.id),
		"tag_name":   r.tag, "name": r.tag, "draft": false, "prerelease": r.prerelease,
		"assets": g.shapes(r.tag, r.assets[:min(len(r.assets), 30)]),
	}
}

func (g *GitHub) shapes(tag string, assets []*ghAsset) []any {
	shapes := []any{}
	for _, a := range assets {
		shape := map[string]any{
			"url": fmt.Sprintf("%s%s/releases/assets/%d", g.URL, repository, a.id), "id": a.id,
			"name": a.name, "state": "uploaded", "size": len(a.content), "digest": nil,
			"content_type": "application/octet-stream", "updated_at": time.Unix(a.id, 0).UTC().Format(time.RFC3339),
			"browser_download_url": fmt.Sprintf("%s/lkup/images/releases/download/%s/%s", g.URL, tag, a.name),
		}
		if g.digests {
			shape["digest"] = fmt.Sprintf("sha256:%x", sha256.Sum256(a.content))
		}
		shapes = append(shapes, shape)
	}
	return shapes
}

// download answers for an asset of the API: with the asset for who accepts it,
// else with what it is.
func (g *GitHub) download(w http.ResponseWriter, r *http.Request, id string) {
	if r.Header.Get("Accept") != "application/octet-stream" {
		complain(w, http.StatusNotAcceptable, "not asked for as application/octet-stream")
		return
	}
	g.toStorage(w, r, id)
}

func (g *GitHub) toStorage(w http.ResponseWriter, r *http.Request, id string) {
	http.Redirect(w, r, g.Storage.URL+"/bucket/"+id+"?X-Amz-Signature=secret", http.StatusFound)
}

// browse answers where a browser downloads.
func (g *GitHub) browse(w http.ResponseWriter, r *http.Request, path string, authorized bool) {
	tag, name := path[:max(strings.LastIndex(path, "/"), 0)], path[strings.LastIndex(path, "/")+1:]
	if release := g.find(tag); release != nil && (!g.private || authorized) {
		for _, a := range release.assets {
			if a.name == name {
				g.toStorage(w, r, strconv.FormatInt(a.id, 10))
				return
			}
		}
	}
	http.NotFound(w, r)
}
