#!/bin/sh
# Checks an Offline Kit with stock tools: a POSIX shell, GNU tar or bsdtar, gzip or zstd, sha256sum, openssl, awk.
#
#   sh verify.sh KIT          an archive or an unpacked folder
#
# Checked: the manifest's signature by a key below, in its role; every digest and size; that every file is listed and
# every listed file is there; that there are no links and devices, and that an archive names no member twice; of every
# earlier generation its manifest, its signature, and the signed statement of what replaced it; KIT.sha256.
# Not checked, which kit verify does: how strictly container, names and JSON are read (limits, records that readers take
# in different ways, names that collide elsewhere); time, expiry and rollback; what is inside of collections; of a
# statement more than that it names both manifests; folders without files; KIT.sig.
#
# Exit codes: 0 valid, 2 digest mismatch, 3 unsigned, 4 not trusted, 5 signature invalid, 9 archive hostile or not
# understood, 11 manifest not understood; 1 no verdict: KIT cannot be read, a tool is missing or fails, no room.
set -eu
# Options for the tools below, and another place for cd.
unset CDPATH GREP_OPTIONS GZIP POSIXLY_CORRECT TAR_OPTIONS TAR_READER_OPTIONS
LC_ALL=C
export LC_ALL
umask 077
ended=no
tmp=
# Descriptor 3 is for this script. What tools write of names they meet goes into a file, not to a terminal.
(exec 3>&2) 2> /dev/null || exec 2> /dev/null
exec 3>&2 2> /dev/null

# shown TEXT: printable ASCII as it is, a backslash doubled, every other byte in octal behind a backslash.
shown() {
    numbers=$(printf '%s' "$1" | od -An -v -tu1) || return 1
    printf '%s\n' "$numbers" | awk '{
        for (i = 1; i <= NF; i++)
            if ($i == 92) printf "%c%c", 92, 92
            else if ($i > 31 && $i < 127) printf "%c", $i + 0
            else printf "%c%03o", 92, $i
    }'
}

fail() {
    code=$1
    shift
    ended=yes
    printf 'verify.sh: refused: %s\n' "$(shown "$*")" >&3
    exit "$code"
}

# broken WHAT: no verdict, since something failed that says nothing of the kit.
broken() {
    ended=yes
    printf 'verify.sh: no verdict: %s\n' "$(shown "$*")" >&3
    exit 1
}

# shellcheck disable=SC2329  the trap calls it
end() {
    status=$?
    if [ -n "$tmp" ]; then
        chmod -R u+rwx "$tmp" || :
        rm -rf "$tmp" || :
    fi
    [ "$ended" = no ] || exit "$status"
    # Some command failed where none was expected to: its exit code must not pass for one of ours.
    printf 'verify.sh: no verdict: interrupted, or a command failed\n' >&3
    exit 1
}
trap end EXIT
trap 'exit 1' HUP INT TERM

for tool in od awk cat chmod cmp find grep head mkdir mktemp openssl rm sed sha256sum sort tar tr uniq wc; do
    command -v "$tool" > /dev/null || broken "$tool is not there"
done
[ $# -eq 1 ] && [ -n "$1" ] || broken "usage: sh verify.sh KIT"
case $1 in
-*) kit=./$1 ;;
*) kit=$1 ;;
esac
tmp=$(mktemp -d) || broken "no temporary folder can be made; set TMPDIR"
case $tmp in
/*) ;;
*) tmp=$(pwd)/$tmp || broken "the working folder has no name" ;;
esac
exec 2> "$tmp/stderr"

cr=$(printf '\r')

# Each helper below tells "no" (1) from a tool that fails.

# same FILE FILE
same() {
    status=0
    cmp -s "$1" "$2" || status=$?
    [ "$status" -le 1 ] || broken "cmp fails"
    return "$status"
}

# found FILE -e PATTERN…: whether a line matches one of them.
found() {
    from=$1
    shift
    status=0
    grep -q "$@" < "$from" || status=$?
    [ "$status" -le 1 ] || broken "grep fails"
    return "$status"
}

# count_lines FILE: sets lines.
count_lines() {
    lines=$(wc -l < "$1") || broken "wc fails"
    lines=$((lines))
}

# digest_of FILE: sets sum.
digest_of() {
    sum=$(sha256sum < "$1") || broken "$1 cannot be read"
    sum=${sum%% *}
}

# stated_digest KIT: the digest that a .sha256 file says of it, in any form that sha256sum -c reads. Of one line the
# name does not matter; of several those count that name the kit. They must agree, else nothing comes out.
stated_digest() {
    KIT=${1##*/} LC_ALL=C awk '
BEGIN {
    kit = ENVIRON["KIT"]
    escaped = ""
    for (i = 1; i <= length(kit); i++) {
        c = substr(kit, i, 1)
        escaped = escaped (c == "\\" ? "\\\\" : c == "\n" ? "\\n" : c == "\r" ? "\\r" : c)
    }
}
NR == 1 { sub(/^\357\273\277/, "") }
{
    gsub(/^[ \t]+|\r$/, "")
    wanted = sub(/^\\/, "") ? escaped : kit
    if ($0 ~ /^SHA(2-)?256 ?[(].*[)] ?= ?[0-9A-Fa-f]+[ \t]*$/) {
        digest = $0
        sub(/[ \t]+$/, "", digest)
        sub(/^.*= ?/, "", digest)
        sub(/^SHA(2-)?256 ?[(]/, "")
        sub(/[)] ?= ?[0-9A-Fa-f]+[ \t]*$/, "")
    } else {
        digest = substr($0, 1, 64)
        if (substr($0, 65) !~ /^([ \t]|$)/)
            next
        $0 = substr($0, 65)
        sub(/^[ \t][ \t*]?/, "")
    }
    if (length(digest) != 64 || digest ~ /[^0-9A-Fa-f]/)
        next
    sub(/^.*\//, "")
    digest = tolower(digest)
    last = digest
    lines++
    if ($0 == wanted && named != digest)
        named = named digest
}
END { print lines == 1 ? last : named }'
}

# twice FILE: whether a line is there twice; sets line.
twice() {
    sort < "$1" > "$tmp/sorted-lines" || broken "sort fails"
    uniq -d < "$tmp/sorted-lines" > "$tmp/doubled" || broken "uniq fails"
    first_of "$tmp/doubled"
    [ -s "$tmp/doubled" ]
}

# first_of FILE: sets line.
first_of() {
    line=$(head -n 1 < "$1") || broken "head fails"
}

# parse WANT FILE OUTPUT CODE: see the parser.
parse() {
    status=0
    awk -v want="$1" "$parser" < "$2" > "$3" || status=$?
    [ "$status" -le 1 ] || broken "awk fails"
    [ "$status" -eq 0 ] || fail "$4" "$2 is not understood"
}

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
    esac > /dev/null
}

# decode TEXT FILE: standard base64 in its one spelling (a second spelling would be a second document).
decode() {
    printf '%s' "$1" > "$tmp/base64" || broken "no room in $tmp"
    openssl base64 -d -A < "$tmp/base64" > "$2" || return 1
    openssl base64 -A < "$2" > "$tmp/base64-again" || broken "openssl base64 fails"
    same "$tmp/base64" "$tmp/base64-again"
}

# decode_url TEXT FILE: base64url without padding (RFC 7515 2).
decode_url() {
    case $1 in
    '' | *[!A-Za-z0-9_-]*) return 1 ;;
    esac
    printf '%s' "$1" > "$tmp/base64url" || broken "no room in $tmp"
    padded=$(tr '_-' '/+' < "$tmp/base64url") || broken "tr fails"
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

# check_manifest MANIFEST JWS ROLE: a compact detached JWS (RFC 7515 appendix F, RFC 7797); sets kid.
check_manifest() {
    [ -f "$2" ] || fail 3 "$1 has no signature"
    [ -s "$2" ] || fail 3 "the signature of $1 is empty"
    size=$(wc -c < "$2") || broken "$2 cannot be read"
    [ "$size" -le 1048576 ] || fail 5 "$2 is larger than any signature"
    jws=$(cat < "$2") || broken "$2 cannot be read"
    jws=${jws%"$cr"}
    # What the shell drops (NUL, newlines) must not have been there, but for the end of one line.
    as_read=no
    for end in '' '\n' '\r\n'; do
        printf "%s$end" "$jws" > "$tmp/jws" || broken "no room in $tmp"
        ! same "$tmp/jws" "$2" || as_read=yes
    done
    [ "$as_read" = yes ] || fail 5 "$2 is not a compact JWS"
    header=${jws%%..*}
    signature=${jws#*..}
    [ "$jws" = "$header..$signature" ] || fail 5 "$2 is not a compact detached JWS; several signers need kit verify"
    decode_url "$header" "$tmp/header" || fail 5 "the header of $2 is not base64url"
    decode_url "$signature" "$tmp/sig" || fail 5 "the signature in $2 is not base64url"
    # Five members, each exactly one of those known, in any order: no other alg, crit, b64 or key can be asked for.
    tr -d ' \t\r\n{}' < "$tmp/header" > "$tmp/bare" || broken "tr fails"
    tr ',' '\n' < "$tmp/bare" > "$tmp/members" || broken "tr fails"
    printf '\n' >> "$tmp/members" || broken "no room in $tmp"
    sort < "$tmp/members" > "$tmp/sorted" || broken "sort fails"
    kid=$(sed -n 's/^"kid":"\([A-Za-z0-9_-]*\)"$/\1/p' < "$tmp/sorted") || broken "sed fails"
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
            # In the order of sort.
            printf '"alg":"%s"\n"b64":false\n"crit":["b64"]\n"kid":"%s"\n"typ":"%s"\n' "$name" "$kid" "$type" \
                > "$tmp/expected" || broken "no room in $tmp"
            if same "$tmp/expected" "$tmp/sorted"; then
                known=yes
            fi
        done
    done
    [ "$known" = yes ] || fail 5 "the header of $2 is not understood"
    need_role "$3" "$1"
    if [ "$kind" = es256 ]; then
        od -An -v -tx1 < "$tmp/sig" > "$tmp/hex" || broken "od fails"
        raw=$(tr -d ' \n' < "$tmp/hex") || broken "tr fails"
        [ ${#raw} -eq 128 ] || fail 5 "the signature in $2 has not 64 bytes"
        s=${raw#????????????????????????????????????????????????????????????????}
        r=$(der_integer "${raw%"$s"}") || broken "printf fails"
        s=$(der_integer "$s") || broken "printf fails"
        length=$(printf '%02x' $((${#r} / 2 + ${#s} / 2))) || broken "printf fails"
        unhex "30$length$r$s" > "$tmp/sig" || broken "no room in $tmp"
    fi
    printf '%s.' "$header" > "$tmp/signed" || broken "no room in $tmp"
    cat < "$1" >> "$tmp/signed" || broken "$1 cannot be read, or no room in $tmp"
    check_signature "$tmp/signed" "$tmp/sig" || fail 5 "the signature of $1 does not verify"
}

# member NAME: prints a member of the envelope in $tmp/dsse.
member() {
    sed -n "s/^$1 //p" < "$tmp/dsse"
}

# check_statement FILE BASE-DIGEST NEW-DIGEST: a DSSE envelope (DSSE 1.0.2) of one signature.
check_statement() {
    parse dsse "$1" "$tmp/dsse" 5
    count_lines "$tmp/dsse"
    [ "$lines" -eq 4 ] || fail 5 "$1 is not an envelope with one signature"
    type=$(member payloadType) || broken "sed fails"
    text=$(member payload) || broken "sed fails"
    keyid=$(member keyid) || broken "sed fails"
    sig=$(member sig) || broken "sed fails"
    [ "$type" = application/vnd.in-toto+json ] || fail 5 "$1 was signed for another purpose"
    decode "$text" "$tmp/payload" || fail 5 "the payload of $1 is not base64"
    decode "$sig" "$tmp/sig" || fail 5 "the signature of $1 is not base64"
    # The signature does not cover the envelope around it, so that must be as kit prints it, byte for byte.
    printf '{\n  "payload": "%s",\n  "payloadType": "%s",\n  "signatures": [\n    {\n      "keyid": "%s",\n      "sig": "%s"\n    }\n  ]\n}\n' \
        "$text" "$type" "$keyid" "$sig" > "$tmp/envelope" || broken "no room in $tmp"
    same "$tmp/envelope" "$1" || fail 5 "$1 is not spelled as kit spells it"
    load_key "$keyid"
    need_role patcher "$1"
    size=$(wc -c < "$tmp/payload") || broken "wc fails"
    printf 'DSSEv1 %d %s %d ' ${#type} "$type" "$size" > "$tmp/signed" || broken "no room in $tmp"
    cat < "$tmp/payload" >> "$tmp/signed" || broken "no room in $tmp"
    check_signature "$tmp/signed" "$tmp/sig" || fail 5 "the signature of $1 does not verify"
    for digest in "$2" "$3"; do
        found "$tmp/payload" -e "\"$digest\"" || fail 2 "$1 is about another step"
    done
}

# --- JSON -------------------------------------------------------------------------------------------------------------
# Records between quotation marks are, in turn, outside and inside of strings. want=files prints "digest size path" of
# each entry; want=lineage the digest, path, signature and statement of each step, and the digests of its signature and
# of the statement before, or a dash; want=dsse the members of an envelope.
# shellcheck disable=SC2016  awk's own
parser='
function bad(why) { failed = 1; exit 1 }
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
            if (n >= 56320 && n < 57344) bad("half a surrogate pair")
            if (n >= 55296 && n < 56320) {
                low = hex(substr(s, 3))
                if (substr(s, 1, 2) != "\\u" || low < 56320 || low >= 57344) bad("half a surrogate pair")
                s = substr(s, 7); n = 65536 + (n - 55296) * 1024 + low - 56320
            }
            out = out (n < 32 ? "\001" : utf8(n))
        } else if (c == "\"" || c == "\\" || c == "/") out = out c
        else if (c ~ /[bfnrt]/) out = out "\001"
        else bad("an escape that is none")
    }
    return out s
}
function value(v, is_text) {
    if (depth == 1 && key[1] == "schemaVersion") version = v
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
    text_in[key[3]] = is_text
}
function or_dash(name) { return (field[name] == "") ? "-" : field[name] }
function digest_name() { return ("sha256" in field) ? "sha256" : ("digest" in field) ? "digest" : "hash" }
function closed(    d, p) {
    if (depth != 3 || !is_list[2]) return
    if (want == "lineage" && key[1] == "lineage")
        print field["manifestSha256"], field["path"], field["signature"], field["statement"], or_dash("signatureSha256"), or_dash("priorStatementSha256")
    # Links are compared by kit verify only.
    if (want == "files" && key[1] == "links") bad("links")
    if (want == "files" && (key[1] == "files" || key[1] == "artifacts" || key[1] == "entries" || key[1] == "chunks")) {
        d = field[digest_name()]; p = ("path" in field) ? field["path"] : field["name"]
        if (d != "" && p != "") {
            if (list != "" && list != key[1]) bad("two lists of files")
            list = key[1]
            sub(/^sha256:/, "", d); d = tolower(d)
            if (d !~ /^[0-9a-f]+$/ || length(d) != 64) bad("not a digest")
            if (p ~ /^\// || p ~ /(^|\/)\.\.?(\/|$)/ || p ~ /\/\// || p ~ /[\001-\037\177\\]/) bad("a path that is refused")
            if (p ~ /:/ || p ~ /\. *(\/|$)/ || tolower(p) ~ device) bad("a name that Windows takes for another")
            # A text is no number, and a number no text, to a reader that is strict.
            if (text_in["size"] || ("size" in field) && field["size"] == "") bad("a size that is no number")
            if (!("size" in field)) sizeless++
            if (!text_in[digest_name()] || !text_in[("path" in field) ? "path" : "name"]) bad("no text")
            # 6.0 and 6e0 are the integer 6 to JSON, up to 2^53.
            if (field["size"] ~ /^[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$/ && field["size"] ~ /[.eE]/ &&
                field["size"] + 0 == int(field["size"] + 0) && field["size"] + 0 < 9007199254740992)
                field["size"] = sprintf("%.0f", field["size"] + 0)
            if (field["size"] !~ /^[0-9]*$/) bad("not a size")
            print d, (field["size"] == "" ? "-" : field["size"]), p
            count++
        }
    }
    split("", field); split("", text_in)
}
BEGIN {
    device = "(^|/)(con|prn|aux|nul|conin[$]|conout[$]|com[0-9]|lpt[0-9]) *([.][^/]*)?(/|$)"
    RS = "\""; depth = 0; text = 0; held = ""
}
{
    if (text) {
        held = held $0
        tail = held; sub(/^.*[^\\]/, "", tail)
        if (length(tail) % 2) { held = held "\""; next }
        text = 0
        if (!depth) bad("a text, not an object")
        if (depth in is_list && !is_list[depth] && expects_key) {
            key[depth] = unescape(held); expects_key = 0
            # Which of two would count is not the same for all readers.
            if (depth == 1 && key[1] in top || depth == 3 && key[3] in names) bad("a key twice")
            if (depth == 1) top[key[1]] = 1
            if (depth == 3) names[key[3]] = 1
        }
        else value(unescape(held), 1)
        held = ""
        next
    }
    rest = $0
    if (rest ~ /[^][{},: \t\r\n][ \t\r\n]+[^][{},: \t\r\n]/) bad("two values without a comma")
    gsub(/[ \t\r\n]/, "", rest)
    while (rest != "") {
        c = substr(rest, 1, 1)
        if (!depth && (ended || c != "{")) bad("not one object")
        if (c == "{" || c == "[") {
            if (++depth > 64) bad("nested too deep")
            is_list[depth] = (c == "["); expects_key = (c == "{"); key[depth] = ""
            if (depth == 3) { split("", field); split("", text_in); split("", names) }
            rest = substr(rest, 2)
        } else if (c == "}" || c == "]") {
            if (c == "}") closed()
            if (!--depth) ended = 1
            expects_key = 0; rest = substr(rest, 2)
        } else if (c == ",") { expects_key = (depth in is_list && !is_list[depth]); rest = substr(rest, 2) }
        else if (c == ":") rest = substr(rest, 2)
        else {
            match(rest, /^[^][{},:]+/)
            word = substr(rest, 1, RLENGTH)
            if (word !~ /^(true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)$/) bad("no value")
            rest = substr(rest, RLENGTH + 1)
            value(word == "null" ? "" : word, 0)
        }
    }
    text = 1
}
END {
    if (failed) exit 1
    if (depth || !ended) bad("not closed")
    if (list == "files" && version != "" && version != "1" && "bundleId" in top && "generation" in top) bad("a version that is not known")
    if (want == "files" && !count) bad("no list of files")
    # Of a foreign manifest only.
    if (list == "files" && version == "1" && sizeless) bad("an entry without a size")
}
'

# --- the container ----------------------------------------------------------------------------------------------------
beside=
if [ -d "$kit" ]; then
    root=$kit
else
    [ -f "$kit" ] && [ -r "$kit" ] || broken "$kit cannot be read"
    version=$(tar --version) || broken "tar is neither GNU tar nor bsdtar"
    charset=C
    case $version in
    *'GNU tar'*) option=--quoting-style=escape ;;
    *bsdtar*)
        # It would also look for a compression, by the first bytes, which are a member's name.
        option=--use-compress-program=cat
        # It takes names out of PAX records in the character set of the locale.
        for one in C.UTF-8 C.utf8 en_US.UTF-8; do
            map=$(LC_ALL=$one locale charmap) || map=
            [ "$map" != UTF-8 ] || charset=$one
        done
        ;;
    *) broken "tar is neither GNU tar nor bsdtar" ;;
    esac
    magic=$(od -An -v -tx1 -N4 < "$kit") || broken "$kit cannot be read"
    # shellcheck disable=SC2086  into words
    set -- $magic
    case ${1-}${2-}${3-}${4-} in
    1f8b*)
        command -v gzip > /dev/null || broken "gzip is not there"
        gzip -dc < "$kit" > "$tmp/kit.tar" || fail 9 "the archive does not decompress, or there is no room for it"
        ;;
    28b52ffd | 5?2a4d18)
        command -v zstd > /dev/null || broken "zstd is not there"
        zstd -dcq --memory=128MB < "$kit" > "$tmp/kit.tar" ||
            fail 9 "the archive does not decompress, or there is no room for it"
        ;;
    *) cat < "$kit" > "$tmp/kit.tar" || broken "$kit cannot be read, or there is no room for it" ;;
    esac
    # tar itself would also unpack other formats, or one more compression: the first block must be a tar header.
    od -An -v -tu1 -N512 < "$tmp/kit.tar" > "$tmp/block" || broken "od fails"
    status=0
    awk '{ for (i = 1; i <= NF; i++) { block[++size] = $i; sum += (size > 148 && size <= 156) ? 32 : $i } }
        END {
            for (i = 149; i <= 156 && block[i] == 32; i++) ;
            for (; i <= 156 && block[i] >= 48 && block[i] <= 55; i++) said = said * 8 + block[i] - 48
            exit (size == 512 && said == sum) ? 0 : 1
        }' < "$tmp/block" || status=$?
    [ "$status" -le 1 ] || broken "awk fails"
    [ "$status" -eq 0 ] || fail 9 "not a tar archive"
    LC_ALL=$charset tar "$option" -tf - < "$tmp/kit.tar" > "$tmp/names" || fail 9 "not a tar archive, or cut off"
    # tar spells bytes that are not ASCII, which a name may have, and what is not printable, which it may not, with a
    # backslash; and a backslash with two.
    sed 's/\\[23][0-7][0-7]//g' < "$tmp/names" > "$tmp/ascii" || broken "sed fails"
    ! found "$tmp/ascii" -e '\\' || fail 9 "a member name that is refused"
    # One spelling of each name: no ./ before it, no slash behind.
    sed -e 's:^\(\./\)*::' -e 's:/$::' < "$tmp/names" > "$tmp/spelled" || broken "sed fails"
    ! found "$tmp/spelled" -e '^/' -e '//' -e '/$' -e '^\.\./' -e '/\.\./' -e '/\.\.$' -e '^\.\.$' -e '/\./' -e '/\.$' ||
        fail 9 "a member name that is refused"
    ! twice "$tmp/spelled" || fail 9 "two members of one name: $line"
    LC_ALL=$charset tar "$option" --numeric-owner -tvf - < "$tmp/kit.tar" > "$tmp/table" || fail 9 "not a tar archive"
    ! found "$tmp/table" -e '^[^d-]' || fail 9 "a member that is neither file nor folder"
    root=$tmp/kit
    mkdir "$root" || broken "no room in $tmp"
    LC_ALL=$charset tar "$option" --no-same-permissions -xokf - -C "$root" < "$tmp/kit.tar" ||
        fail 9 "the archive does not unpack, or there is no room for it"
    rm "$tmp/kit.tar" || broken "rm fails"
    # Folders may have come without leave to read them.
    chmod -R u+rwX "$root" || broken "chmod fails"
    if [ -f "$kit.sha256" ]; then
        # UTF-16, as PowerShell writes it, without its marks and NULs is the text.
        LC_ALL=C tr -d '\000\376\377' < "$kit.sha256" > "$tmp/beside" || broken "$kit.sha256 cannot be read"
        said=$(stated_digest "$kit" < "$tmp/beside") || broken "awk fails"
        digest_of "$kit"
        [ "$said" = "$sum" ] || fail 2 "the archive is not the one that $kit.sha256 names"
        beside="; the .sha256 file"
    fi
fi
cd -- "$root" || broken "$kit cannot be entered"
find . ! -type f ! -type d > "$tmp/others" || broken "a folder in $kit cannot be read"
first_of "$tmp/others"
[ ! -s "$tmp/others" ] || fail 9 "neither file nor folder: $line"
find . \( -name '*[[:cntrl:]]*' -o -name '*\\*' \) > "$tmp/others" || broken "a folder in $kit cannot be read"
first_of "$tmp/others"
[ ! -s "$tmp/others" ] || fail 9 "a name that is refused: $line"
find . -type f > "$tmp/files-met" || broken "a folder in $kit cannot be read"
if [ "$root" != "$kit" ]; then
    # An archive in which tar has written two members to one file, or one to none.
    sed -n '/^-/p' < "$tmp/table" > "$tmp/table-files" || broken "sed fails"
    count_lines "$tmp/table-files"
    listed=$lines
    count_lines "$tmp/files-met"
    [ "$lines" -eq "$listed" ] || fail 9 "the archive has $listed files, and $lines when unpacked"
fi

# --- manifest, signature, digests -------------------------------------------------------------------------------------
manifest=
for place in offline-manifest.json manifest/offline-manifest.json; do
    if [ -f "$place" ]; then
        [ -z "$manifest" ] || fail 11 "two manifests"
        manifest=$place
    fi
done
[ -n "$manifest" ] || fail 11 "no manifest"
parse lineage "$manifest" "$tmp/lineage" 11
[ ! -e "./$manifest.dsse.json" ] || fail 5 "$manifest.dsse.json is a DSSE envelope, which needs kit verify"
role=publisher
[ ! -s "$tmp/lineage" ] || role=patcher
check_manifest "$manifest" "$manifest.jws" "$role"
signer=$kid
signed_as=$role
parse files "$manifest" "$tmp/files" 11

sed 's:^\([^ ]*\) [^ ]* :\1  ./:' < "$tmp/files" > "$tmp/sums" || broken "sed fails"
sed 's:^[^ ]* [^ ]* :./:' < "$tmp/files" > "$tmp/listed" || broken "sed fails"
number=0
while IFS= read -r line; do
    number=$((number + 1))
    line=${line#* }
    size=${line%% *}
    path=${line#* }
    [ -f "./$path" ] || fail 2 "$path is listed, but absent"
    [ "$size" != - ] || continue
    met=$(wc -c < "./$path") || broken "$path cannot be read"
    [ "$met" -eq "$size" ] || fail 2 "$path has another size than the manifest says"
done < "$tmp/files"
count_lines "$tmp/files"
[ "$number" -eq "$lines" ] || broken "the list of files cannot be read"
files=$number
printf './%s\n' "$manifest" "$manifest.jws" >> "$tmp/listed" || broken "no room in $tmp"
# Each step binds the generation before; its successor is the next line's, or the manifest itself.
digest_of "$manifest"
current=$sum
sed -e 1d -e 's/ .*//' < "$tmp/lineage" > "$tmp/successors" || broken "sed fails"
printf '%s\n' "$current" >> "$tmp/successors" || broken "no room in $tmp"
number=0
before=
while IFS=' ' read -r digest path signature statement signature_sum before_sum; do
    number=$((number + 1))
    for kept in "$path" "$signature" "$statement"; do
        case $kept in
        *[!A-Za-z0-9._/-]* | *..*) fail 11 "lineage names a file that is refused" ;;
        manifest/history/*) [ -f "$kept" ] || fail 2 "$kept is named by lineage, but absent" ;;
        *) fail 3 "a generation that was never signed, or whose history is elsewhere" ;;
        esac
        printf './%s\n' "$kept" >> "$tmp/listed" || broken "no room in $tmp"
    done
    digest_of "$path"
    [ "$sum" = "$digest" ] || fail 2 "$path has another digest than lineage says"
    # Of one signature or statement there may be a twin that verifies, too.
    digest_of "$signature"
    [ "$signature_sum" = - ] || [ "$sum" = "$signature_sum" ] || fail 2 "$signature has another digest than lineage says"
    if [ "$before_sum" != - ]; then
        [ -n "$before" ] || fail 11 "lineage has the digest of a statement before the first"
        digest_of "$before"
        [ "$sum" = "$before_sum" ] || fail 2 "$before has another digest than lineage says"
    fi
    before=$statement
    parse lineage "$path" "$tmp/earlier" 11
    head -n $((number - 1)) < "$tmp/lineage" > "$tmp/before" || broken "head fails"
    same "$tmp/before" "$tmp/earlier" || fail 11 "history was rewritten"
    role=publisher
    [ "$number" -eq 1 ] || role=patcher
    check_manifest "$path" "$signature" "$role"
    successor=$(sed -n "${number}p" < "$tmp/successors") || broken "sed fails"
    check_statement "$statement" "$digest" "$successor"
done < "$tmp/lineage"
count_lines "$tmp/lineage"
[ "$number" -eq "$lines" ] || broken "lineage cannot be read"

! twice "$tmp/listed" || fail 11 "listed twice: $line"
sort < "$tmp/listed" > "$tmp/due" || broken "sort fails"
sort < "$tmp/files-met" > "$tmp/met" || broken "sort fails"
if ! same "$tmp/met" "$tmp/due"; then
    sort "$tmp/met" "$tmp/due" > "$tmp/both" || broken "sort fails"
    uniq -u < "$tmp/both" > "$tmp/differing" || broken "uniq fails"
    first_of "$tmp/differing"
    fail 2 "not what the manifest lists: $line"
fi
status=0
sha256sum -c "$tmp/sums" > "$tmp/result" || status=$?
sed '/: OK$/d' < "$tmp/result" > "$tmp/wrong" || broken "sed fails"
first_of "$tmp/wrong"
count_lines "$tmp/result"
[ "$status" -eq 0 ] && [ ! -s "$tmp/wrong" ] && [ "$lines" -eq "$files" ] || fail 2 "${line:-sha256sum stops}"
named=$(shown "$kit") || broken "od or awk fails"
{
    printf 'valid: %s: %d files, manifest %s\n' "$named" "$files" "$current" &&
    printf 'checked: signed by %s as %s; size and digest of every file; none missing or added%s\n' \
        "$signer" "$signed_as" "$beside" &&
    { [ "$number" -eq 0 ] ||
        printf 'checked: earlier generations, by signature and by signed statement: %d\n' "$number"; } &&
    printf 'not checked: time and rollback; how strictly the container is read; what is inside of collections\n'
} || broken "standard output cannot be written"
ended=yes
