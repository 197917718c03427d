# For other scripts: installs Debian's packages, if that is permitted.

# install_packages SCRIPT PACKAGE...: installs those of the packages that are missing; says what to do if it may not.
install_packages() {
    local who=$1 package missing=()
    shift
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    local foreign
    foreign=$(printf '%s\n' "${missing[@]}" | sed -n 's/^[^:]*://p' | sort -u)
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        {
            echo "$who: these packages of Debian are missing, and only root can install them: ${missing[*]}"
            local first=${foreign:+sudo dpkg --add-architecture $foreign && sudo apt-get update && }
            echo "$who: run: ${first}sudo apt-get install ${missing[*]}"
        } >&2
        return 1
    fi
    echo "$who: installing ${missing[*]}" >&2
    if [ -n "$foreign" ]; then dpkg --add-architecture "$foreign"; fi
    update_package_lists && alone env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends --no-remove "${missing[@]}"
}

# update_package_lists [OPTION...]: updates the package lists of apt-get.
update_package_lists() { alone apt-get "$@" update -qq; }

# alone COMMAND...: runs a command under a lock, because apt-get does not wait for another one that reads the lists.
# All output goes to standard error.
alone() { flock /var/lib/apt "$@" >&2; }
