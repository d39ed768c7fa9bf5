# The doings of this house; `just` alone lists them. Everything works without `just` too: these are plain commands.

# Lists the doings.
default:
    @just --list

# Runs what CI runs, or only the suites named: `just check format tidy`.
check *suites:
    ./check {{ suites }}

# Builds the binary and everything beside it.
build:
    cargo build --workspace --locked

# Makes the Debian package, in target/debian.
deb:
    packaging/deb

# Backs up a folder and proves that it can be restored.
quickstart dir:
    cargo run --locked -p backstay -- quickstart {{ quote(dir) }}

# Runs the tests of one crate, or only those whose name holds a word: `just test backstay-core lease`.
test crate *word:
    cargo test --locked -p {{ crate }} {{ word }}

# Formats all Rust code.
fmt:
    cargo fmt --all

# Fetches the programs that tests are held against (see testkit/peers/tools/README.md).
tools:
    testkit/peers/tools/install
