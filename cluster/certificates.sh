#!/bin/sh
# Certificates for TLS between Ray's nodes, with OpenSSL 3: an authority of the cluster's own, and one certificate a node.
#
#   cluster/certificates.sh authority AUTHORITY              # once, where no node is: ca.crt, ca.key
#   cluster/certificates.sh node AUTHORITY FOLDER [NAME...]  # for each node: FOLDER/node.crt, node.key, ca.crt
#
# NAME: addresses and host names of the node, as Ray and others call it; left out, those of this machine. Nodes are told
# from each other by address, so a certificate is good for one node alone. Whoever has ca.key can be a node: keep it off
# them where you can. DAYS: how long what is made lasts (3650 for an authority, 365 for a node); Ray reads a certificate
# when it starts. Then, for every process of Ray and of hydra-ray on the node:
#
#   export RAY_USE_TLS=1 RAY_TLS_SERVER_CERT=FOLDER/node.crt RAY_TLS_SERVER_KEY=FOLDER/node.key \
#     RAY_TLS_CA_CERT=FOLDER/ca.crt
set -eu

fail() {
    echo "certificates.sh: $1" >&2
    exit 2
}

# Makes a key and its certificate. $1: name without ending; $2: subject; $3: days; $4: extensions; the rest: signed by.
issue() {
    file=$1 subject=$2 days=$3 extensions=$4
    shift 4
    {
        printf '[req]\ndistinguished_name=subject\nprompt=no\nx509_extensions=own\n'
        printf '[subject]\nCN=%s\n[own]\n%b\n' "$subject" "$extensions"
    } > "$file.cnf"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" -config "$file.cnf" \
        -keyout "$file.key.new" -out "$file.crt.new" "$@" 2> "$file.log" || {
        why=$(grep -m 1 error "$file.log" || tail -n 1 "$file.log")
        rm -f "$file.key.new" "$file.crt.new" "$file.cnf" "$file.log"
        fail "$file.crt cannot be made with the names given: openssl: $why"
    }
    mv "$file.key.new" "$file.key"
    mv "$file.crt.new" "$file.crt"
    rm "$file.cnf" "$file.log"
}

# Addresses and names as an extension has them.
listed() {
    for name in "$@"; do
        case "$name" in
            *:*) printf 'IP:%s,' "$name" ;;
            *[!0-9.]*) printf 'DNS:%s,' "$name" ;;
            *) printf 'IP:%s,' "$name" ;;
        esac
    done
}

command -v openssl > /dev/null || fail "openssl is not installed"
case "${DAYS:-1}" in *[!0-9]* | 0) fail "DAYS=$DAYS: give a number of days" ;; esac
umask 077
case "${1:-}" in
    authority)
        [ $# -eq 2 ] || fail "give the authority's folder: certificates.sh authority AUTHORITY"
        [ ! -e "$2/ca.key" ] || fail "$2/ca.key is there already: another would make all its certificates invalid"
        mkdir -p "$2"
        issue "$2/ca" hydra-ray "${DAYS:-3650}" 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign'
        ;;
    node)
        [ $# -ge 3 ] || fail "give the authority's folder and the node's: certificates.sh node AUTHORITY FOLDER [NAME...]"
        authority=$2 folder=$3
        shift 3
        [ -r "$authority/ca.key" ] || fail "$authority/ca.key cannot be read: certificates.sh authority $authority"
        # shellcheck disable=SC2046  # addresses have no blanks
        [ $# -gt 0 ] || set -- $(hostname -I) "$(hostname)"
        mkdir -p "$folder"
        names=$(listed "$@" localhost 127.0.0.1)
        extensions='basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
        extensions="${extensions}extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=${names%,}"
        issue "$folder/node" ray-node "${DAYS:-365}" "$extensions" -CA "$authority/ca.crt" -CAkey "$authority/ca.key"
        cp "$authority/ca.crt" "$folder/ca.crt"
        ;;
    *) fail "give authority or node; the file's first lines say how" ;;
esac
