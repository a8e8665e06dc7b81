#!/usr/bin/env bash
# Builds the image and starts it, without a Docker engine: by buildah, each step in a changed root.
#
#   deploy/container/prove.sh [BUILDAH-BUILD-OPTION...]      as root, with buildah installed
#
# Where the image that the Dockerfile begins with cannot be pulled, a Debian root with Python stands in for it;
# that takes debootstrap too. Options reach `buildah build`: --build-arg EXTRAS=otel, or --volume for what pip is
# told on this machine. Models are those of UNSURE_REPOSITORY.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Without a kernel's namespaces and overlays, which a machine like CI's may not lend.
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
repository=$(realpath "${UNSURE_REPOSITORY:-model_repository}")
base=$(awk '$1 == "FROM" { print $2; exit }' Dockerfile)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stand_in() {
    echo "$base cannot be pulled: Debian's Python stands in for it" >&2
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        bookworm "$work/root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/debootstrap.log" || {
        tail -5 "$work/debootstrap.log" >&2
        exit 1
    }
    ln -s /usr/bin/python3 "$work/root/usr/local/bin/python"
    local container
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/root" / >/dev/null
    buildah config --env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet --rm "$container" "localhost/$base" >/dev/null
    rm -rf "$work/root"
}

buildah inspect --type image "localhost/$base" >/dev/null 2>&1 || buildah pull --quiet "$base" >/dev/null 2>&1 || stand_in
buildah build --format docker --layers=false --tag unsure:proof "$@" .
buildah images --format 'image size  {{.Size}}' unsure:proof

container=$(buildah from unsure:proof)
inside() { buildah run --env UNSURE_WITHOUT_KEYS=true --env UNSURE_HOST=127.0.0.1 --env UNSURE_PORT=8970 \
    --volume "$repository:/models:ro" "$container" -- "$@"; }
echo "runs as     $(inside id)"

# The image's own health check, as an engine would run it.
check=$(python3 - <<'PYTHON'
import json, re
text = open("Dockerfile", encoding="utf-8").read().replace("\\\n", "")
print(json.loads(re.search(r"^HEALTHCHECK .*?CMD (\[.*\])$", text, re.MULTILINE)[1])[2])
PYTHON
)
begun=$(date +%s%N)
inside unsure serve >"$work/server.log" 2>&1 &
server=$!
until inside python -c "$check" 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
    [ $((($(date +%s%N) - begun) / 1000000000)) -lt 300 ] || { cat "$work/server.log" >&2; exit 1; }
    sleep 0.2
done
echo "healthy     after $((($(date +%s%N) - begun) / 1000000)) ms"
pkill -TERM -f '^/opt/unsure/bin/python /opt/unsure/bin/unsure serve'
status=0
wait "$server" || status=$?
echo "on SIGTERM  exit status $status"
buildah rm "$container" >/dev/null
exit "$status"
