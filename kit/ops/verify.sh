#!/bin/sh
# Checks an Offline Kit with stock tools: tar, gzip or zstd, sha256sum, openssl, awk and the POSIX shell.
#
#   sh verify.sh KIT          an archive or an unpacked folder
#
# Checked: the manifest's signature by a key below, in its role; every digest and size; that nothing is missing and
# nothing is added; of every earlier generation its manifest, its signature, and the signed statement of what replaced it.
# Not checked (kit verify does): how strictly the container reads, the time, rollbacks, what is inside of collections,
# and whether each statement names exactly the members that changed.
#
# Exit codes: 0 valid, 1 not readable or a tool is missing, 2 digest mismatch, 3 unsigned, 4 not trusted,
# 5 signature invalid, 9 archive hostile or not understood, 11 manifest not understood.
set -eu
LC_ALL=C
export LC_ALL
umask 077

fail() {
    code=$1
    shift
    printf 'verify.sh: refused: %s\n' "$*" >&2
    exit "$code"
}

[ $# -eq 1 ] || fail 1 "usage: sh verify.sh KIT"
kit=$1
for tool in tar sha256sum openssl awk od sort cmp; do
    command -v "$tool" > /dev/null 2>&1 || fail 1 "$tool is not there"
done
tmp=$(mktemp -d) || fail 1 "no temporary folder"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM

# --- keys -------------------------------------------------------------------------------------------------------------
# load_key KID: writes $tmp/key.pem, sets kind and roles.
load_key() {
    case $1 in
# @KEYS@
    *) fail 4 "signed by key $1, which is not trusted" ;;
    esac
}

# --- signatures -------------------------------------------------------------------------------------------------------
# Turns hex into bytes; printf of POSIX knows octal escapes only.
unhex() {
    hex=$1
    while [ -n "$hex" ]; do
        rest=${hex#??}
        # shellcheck disable=SC2059  the escape is the format
        printf "\\$(printf '%03o' "0x${hex%"$rest"}")"
        hex=$rest
    done
}

# An ASN.1 INTEGER of 32 bytes in hex: no needless zeros, and one where the sign bit is set (X.690 8.3).
der_integer() {
    int=$1
    while [ ${#int} -gt 2 ]; do
        case $int in
        00*) int=${int#00} ;;
        *) break ;;
        esac
    done
    case $int in
    [89abcdef]*) int=00$int ;;
    esac
    printf '02%02x%s' $((${#int} / 2)) "$int"
}

# check_signature DATA SIGNATURE: with $tmp/key.pem of $kind; ES256 in DER.
check_signature() {
    case $kind in
    ed25519) openssl pkeyutl -verify -pubin -inkey "$tmp/key.pem" -rawin -in "$1" -sigfile "$2" ;;
    es256) openssl dgst -sha256 -verify "$tmp/key.pem" -signature "$2" "$1" ;;
    ps256)
        openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha256 \
            -verify "$tmp/key.pem" -signature "$2" "$1"
        ;;
    esac > /dev/null 2>&1
}

# decode TEXT FILE: standard base64 in its one spelling (a second spelling would be a second document).
decode() {
    printf '%s' "$1" | openssl base64 -d -A > "$2" 2> /dev/null || return 1
    [ "$(openssl base64 -A < "$2")" = "$1" ]
}

# decode_url TEXT FILE: base64url without padding (RFC 7515 2).
decode_url() {
    case $1 in
    '' | *[!A-Za-z0-9_-]*) return 1 ;;
    esac
    padded=$(printf '%s' "$1" | tr '_-' '/+')
    case $((${#padded} % 4)) in
    0) ;;
    2) padded=$padded== ;;
    3) padded=$padded= ;;
    *) return 1 ;;
    esac
    decode "$padded" "$2"
}

# need_role ROLE WHAT
need_role() {
    case $roles in
    *" $1 "*) ;;
    *) fail 4 "$2 is signed by a key without the role $1" ;;
    esac
}

# check_manifest MANIFEST JWS ROLE: a compact detached JWS (RFC 7515 appendix F, RFC 7797).
check_manifest() {
    [ -f "$2" ] || fail 3 "$1 has no signature"
    [ -s "$2" ] || fail 3 "the signature of $1 is empty"
    jws=$(cat "$2")
    # What the shell drops (NUL, final newlines) must not have been there.
    [ "$(printf '%s' "$jws" | wc -c)" -eq "$(wc -c < "$2")" ] || fail 5 "$2 is not a compact JWS"
    header=${jws%%..*}
    signature=${jws#*..}
    [ "$jws" = "$header..$signature" ] || fail 5 "$2 is not a compact detached JWS; several signers need kit verify"
    decode_url "$header" "$tmp/header" || fail 5 "the header of $2 is not base64url"
    decode_url "$signature" "$tmp/sig" || fail 5 "the signature in $2 is not base64url"
    # Five members, each exactly one of those known, in any order: no other alg, crit, b64 or key can be asked for.
    tr -d ' \t\r\n{}' < "$tmp/header" | tr ',' '\n' > "$tmp/members"
    printf '\n' >> "$tmp/members"
    sort "$tmp/members" > "$tmp/sorted"
    kid=$(sed -n 's/^"kid":"\([A-Za-z0-9_-]*\)"$/\1/p' "$tmp/sorted")
    [ -n "$kid" ] || fail 5 "the header of $2 names no key"
    case $kid in
    *[!A-Za-z0-9_-]*) fail 5 "the header of $2 names several keys" ;;
    esac
    load_key "$kid"
    case $kind in
    ed25519) names='EdDSA Ed25519' ;;
    es256) names=ES256 ;;
    *) names=PS256 ;;
    esac
    known=no
    for name in $names; do
        for type in application/vnd.offline-kit.manifest+jws vnd.offline-kit.manifest+jws; do
            printf '"alg":"%s"\n"b64":false\n"crit":["b64"]\n"kid":"%s"\n"typ":"%s"\n' "$name" "$kid" "$type" |
                sort > "$tmp/expected"
            if cmp -s "$tmp/expected" "$tmp/sorted"; then
                known=yes
            fi
        done
    done
    [ "$known" = yes ] || fail 5 "the header of $2 is not understood"
    need_role "$3" "$1"
    if [ "$kind" = es256 ]; then
        raw=$(od -An -v -tx1 "$tmp/sig" | tr -d ' \n')
        [ ${#raw} -eq 128 ] || fail 5 "the signature in $2 has not 64 bytes"
        s=${raw#????????????????????????????????????????????????????????????????}
        body=$(der_integer "${raw%"$s"}")$(der_integer "$s")
        unhex "30$(printf '%02x' $((${#body} / 2)))$body" > "$tmp/sig"
    fi
    printf '%s.' "$header" | cat - "$1" > "$tmp/signed"
    check_signature "$tmp/signed" "$tmp/sig" || fail 5 "the signature of $1 does not verify"
}

# check_statement FILE BASE-DIGEST NEW-DIGEST: a DSSE envelope (DSSE 1.0.2) of one signature.
check_statement() {
    awk -v want=dsse "$parser" "$1" > "$tmp/dsse" || fail 5 "$1 is not an envelope"
    [ "$(wc -l < "$tmp/dsse")" -eq 4 ] || fail 5 "$1 is not an envelope with one signature"
    type=$(sed -n 's/^payloadType //p' "$tmp/dsse")
    [ "$type" = application/vnd.in-toto+json ] || fail 5 "$1 was signed for another purpose"
    decode "$(sed -n 's/^payload //p' "$tmp/dsse")" "$tmp/payload" || fail 5 "the payload of $1 is not base64"
    decode "$(sed -n 's/^sig //p' "$tmp/dsse")" "$tmp/sig" || fail 5 "the signature of $1 is not base64"
    # The signature does not cover the envelope around it, so that must be as kit prints it, byte for byte.
    printf '{\n  "payload": "%s",\n  "payloadType": "%s",\n  "signatures": [\n    {\n      "keyid": "%s",\n      "sig": "%s"\n    }\n  ]\n}\n' \
        "$(sed -n 's/^payload //p' "$tmp/dsse")" "$type" "$(sed -n 's/^keyid //p' "$tmp/dsse")" \
        "$(sed -n 's/^sig //p' "$tmp/dsse")" | cmp -s - "$1" || fail 5 "$1 is not spelled as kit spells it"
    load_key "$(sed -n 's/^keyid //p' "$tmp/dsse")"
    need_role patcher "$1"
    size=$(wc -c < "$tmp/payload")
    printf 'DSSEv1 %d %s %d ' ${#type} "$type" "$size" | cat - "$tmp/payload" > "$tmp/signed"
    check_signature "$tmp/signed" "$tmp/sig" || fail 5 "the signature of $1 does not verify"
    for digest in "$2" "$3"; do
        grep -q "\"$digest\"" "$tmp/payload" || fail 2 "$1 is about another step"
    done
}

# --- JSON -------------------------------------------------------------------------------------------------------------
# Records between quotation marks are, in turn, outside and inside of strings. want=files prints "digest size path" of
# each entry, want=lineage "digest path signature statement" of each step, want=dsse the members of an envelope.
parser=$(cat << 'AWK'
function bad(why) { print "verify.sh: JSON: " why > "/dev/stderr"; failed = 1; exit 1 }
function utf8(c) {
    if (c < 128) return sprintf("%c", c)
    if (c < 2048) return sprintf("%c%c", 192 + int(c / 64), 128 + c % 64)
    if (c < 65536) return sprintf("%c%c%c", 224 + int(c / 4096), 128 + int(c / 64) % 64, 128 + c % 64)
    return sprintf("%c%c%c%c", 240 + int(c / 262144), 128 + int(c / 4096) % 64, 128 + int(c / 64) % 64, 128 + c % 64)
}
function hex(s,    i, n) {
    n = 0
    for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
    return n
}
function unescape(s,    out, at, c, n, low) {
    out = ""
    while ((at = index(s, "\\")) > 0) {
        out = out substr(s, 1, at - 1)
        c = substr(s, at + 1, 1)
        s = substr(s, at + 2)
        if (c == "u") {
            n = hex(s); s = substr(s, 5)
            if (n >= 55296 && n < 56320) { low = hex(substr(s, 3)); s = substr(s, 7); n = 65536 + (n - 55296) * 1024 + low - 56320 }
            if (n < 32) bad("a control character")
            out = out utf8(n)
        } else if (c == "\"" || c == "\\" || c == "/") out = out c
        else bad("a control character")
    }
    return out s
}
function value(v, is_text) {
    if (depth in is_list && is_list[depth]) return
    if (want == "dsse") {
        if (depth == 1 && (key[1] == "payload" || key[1] == "payloadType") && is_text) print key[1] " " v
        if (depth == 3 && key[1] == "signatures" && is_text) print key[3] " " v
        return
    }
    if (depth != 3 || !is_list[2]) return
    if (want == "lineage" && key[1] != "lineage") return
    seen[key[1], key[3]] = 1
    field[key[3]] = v
}
function digest_name() { return ("sha256" in field) ? "sha256" : ("digest" in field) ? "digest" : "hash" }
function closed(    d, p) {
    if (depth != 3 || !is_list[2]) return
    if (want == "lineage" && key[1] == "lineage")
        print field["manifestSha256"], field["path"], field["signature"], field["statement"]
    if (want == "files" && (key[1] == "files" || key[1] == "artifacts" || key[1] == "entries" || key[1] == "chunks")) {
        d = field[digest_name()]; p = ("path" in field) ? field["path"] : field["name"]
        if (d != "" && p != "") {
            if (list != "" && list != key[1]) bad("two lists of files")
            list = key[1]
            sub(/^sha256:/, "", d); d = tolower(d)
            if (d !~ /^[0-9a-f]+$/ || length(d) != 64) bad("not a digest: " d)
            if (p ~ /^\// || p ~ /(^|\/)\.\.?(\/|$)/ || p ~ /\/\// || p ~ /[\001-\037\177\\]/) bad("a path that is refused")
            print d, (field["size"] == "" ? "-" : field["size"]), p
            count++
        }
    }
    split("", field)
}
BEGIN { RS = "\""; depth = 0; text = 0; held = "" }
{
    if (text) {
        held = held $0
        tail = held; sub(/^.*[^\\]/, "", tail)
        if (length(tail) % 2) { held = held "\""; next }
        text = 0
        if (depth in is_list && !is_list[depth] && expects_key) { key[depth] = unescape(held); expects_key = 0 }
        else value(unescape(held), 1)
        held = ""
        next
    }
    rest = $0
    gsub(/[ \t\r\n]/, "", rest)
    while (rest != "") {
        c = substr(rest, 1, 1)
        if (c == "{" || c == "[") {
            depth++; is_list[depth] = (c == "["); expects_key = (c == "{"); key[depth] = ""
            if (depth == 3) split("", field)
            rest = substr(rest, 2)
        } else if (c == "}" || c == "]") {
            if (c == "}") closed()
            depth--; expects_key = 0; rest = substr(rest, 2)
        } else if (c == ",") { expects_key = (depth in is_list && !is_list[depth]); rest = substr(rest, 2) }
        else if (c == ":") rest = substr(rest, 2)
        else { match(rest, /^[^][{},:]+/); value(substr(rest, 1, RLENGTH) == "null" ? "" : substr(rest, 1, RLENGTH), 0); rest = substr(rest, RLENGTH + 1) }
    }
    text = 1
}
END {
    if (failed) exit 1
    if (depth != 0) bad("not closed")
    if (want == "files" && !count) bad("no list of files")
}
AWK
)

# --- the container ----------------------------------------------------------------------------------------------------
if [ -d "$kit" ]; then
    root=$kit
else
    [ -f "$kit" ] && [ -r "$kit" ] || fail 1 "$kit cannot be read"
    case $(od -An -v -tx1 -N4 "$kit" | tr -d ' \n') in
    1f8b*) gzip -dc < "$kit" > "$tmp/kit.tar" 2> /dev/null || fail 9 "the archive does not decompress" ;;
    28b52ffd | 5?2a4d18)
        command -v zstd > /dev/null 2>&1 || fail 1 "zstd is not there"
        zstd -dcq --memory=128MB < "$kit" > "$tmp/kit.tar" 2> /dev/null || fail 9 "the archive does not decompress"
        ;;
    *) cat "$kit" > "$tmp/kit.tar" ;;
    esac
    tar -tf "$tmp/kit.tar" > "$tmp/names" 2> /dev/null || fail 9 "not a tar archive, or cut off"
    # tar spells bytes that are not ASCII, which a name may have, and what is not printable, which it may not, with a
    # backslash; and a backslash with two.
    sed 's/\\[23][0-7][0-7]//g' "$tmp/names" > "$tmp/ascii"
    if grep -q '\\' "$tmp/ascii"; then
        fail 9 "a member name that is refused"
    fi
    if grep -q -e '^/' -e '^\.\./' -e '/\.\./' -e '/\.\.$' -e '^\.\.$' "$tmp/names"; then
        fail 9 "a member name that is refused"
    fi
    sed 's:/*$::' "$tmp/names" | sort | uniq -d > "$tmp/twice"
    [ ! -s "$tmp/twice" ] || fail 9 "two members of one name: $(head -n 1 "$tmp/twice")"
    if tar -tvf "$tmp/kit.tar" 2> /dev/null | grep -q '^[^-d]'; then
        fail 9 "a member that is neither file nor folder"
    fi
    root=$tmp/kit
    mkdir "$root"
    tar -xof "$tmp/kit.tar" -C "$root" 2> /dev/null || fail 9 "the archive does not unpack"
    rm "$tmp/kit.tar"
    if [ -f "$kit.sha256" ]; then
        [ "$(sed 's/[ *].*//;q' "$kit.sha256")" = "$(sha256sum < "$kit" | sed 's/ .*//')" ] ||
            fail 2 "the archive is not the one that $kit.sha256 names"
    fi
fi
cd "$root" || fail 1 "$root cannot be entered"
[ -z "$(find . ! -type f ! -type d)" ] || fail 9 "something that is neither file nor folder"

# --- manifest, signature, digests -------------------------------------------------------------------------------------
manifest=
for place in offline-manifest.json manifest/offline-manifest.json; do
    if [ -f "$place" ]; then
        [ -z "$manifest" ] || fail 11 "two manifests"
        manifest=$place
    fi
done
[ -n "$manifest" ] || fail 11 "no manifest"
awk -v want=lineage "$parser" "$manifest" > "$tmp/lineage" || fail 11 "the manifest is not understood"
role=publisher
[ ! -s "$tmp/lineage" ] || role=patcher
check_manifest "$manifest" "$manifest.jws" "$role"
awk -v want=files "$parser" "$manifest" > "$tmp/files" || fail 11 "the manifest is not understood"

: > "$tmp/listed"
: > "$tmp/sums"
while read -r digest size path; do
    printf '%s  ./%s\n' "$digest" "$path" >> "$tmp/sums"
    printf './%s\n' "$path" >> "$tmp/listed"
    [ -f "./$path" ] || fail 2 "$path is listed, but absent"
    [ "$size" = - ] || [ "$(wc -c < "./$path")" -eq "$size" ] || fail 2 "$path has another size than the manifest says"
done < "$tmp/files"
printf './%s\n' "$manifest" "$manifest.jws" >> "$tmp/listed"
# Each step binds the generation before; its successor is the next line's, or the manifest itself.
current=$(sha256sum < "$manifest" | sed 's/ .*//')
sed 1d "$tmp/lineage" | sed 's/ .*//' > "$tmp/successors"
printf '%s\n' "$current" >> "$tmp/successors"
number=0
while read -r digest path signature statement; do
    number=$((number + 1))
    for kept in "$path" "$signature" "$statement"; do
        case $kept in
        manifest/history/*) [ -f "$kept" ] || fail 2 "$kept is named by lineage, but absent" ;;
        *) fail 3 "a generation that was never signed, or whose history is elsewhere" ;;
        esac
        printf './%s\n' "$kept" >> "$tmp/listed"
    done
    [ "$(sha256sum < "$path" | sed 's/ .*//')" = "$digest" ] || fail 2 "$path has another digest than lineage says"
    awk -v want=lineage "$parser" "$path" > "$tmp/earlier" || fail 11 "$path is not understood"
    head -n $((number - 1)) "$tmp/lineage" | cmp -s - "$tmp/earlier" || fail 11 "history was rewritten"
    role=publisher
    [ "$number" -eq 1 ] || role=patcher
    [ "$number" -gt 1 ] || [ ! -s "$tmp/earlier" ] || fail 11 "the first generation has a history"
    check_manifest "$path" "$signature" "$role"
    check_statement "$statement" "$digest" "$(sed -n "${number}p" "$tmp/successors")"
done < "$tmp/lineage"

find . -type f | sort > "$tmp/met"
sort "$tmp/listed" > "$tmp/due"
[ -z "$(uniq -d "$tmp/due")" ] || fail 11 "listed twice: $(uniq -d "$tmp/due" | head -n 1)"
cmp -s "$tmp/met" "$tmp/due" || fail 2 "not what the manifest lists: $(diff "$tmp/due" "$tmp/met" | sed -n 's/^[<>] //p' | head -n 1)"
sha256sum -c "$tmp/sums" > "$tmp/result" 2>&1 || fail 2 "$(grep -v ': OK$' "$tmp/result" | head -n 1)"
printf 'valid: %s: %d files, manifest %s\n' "$kit" "$(wc -l < "$tmp/files")" "$current"
