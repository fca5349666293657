#!/usr/bin/perl
# Makes tokens for tests/forgeries.rs with Crypt::JWT, whose cryptography is its own (LibTomCrypt) and not OpenSSL's as
# sign.py's is. Reads a JSON list of jobs on stdin, each with "alg", "key" (a file, or {"secret": TEXT}), "claims" and
# "headers"; writes a JSON list of tokens.
use strict;
use warnings;

use Crypt::JWT qw(encode_jwt);
use JSON::PP qw(decode_json encode_json);

my $jobs = decode_json(do { local $/; <STDIN> });
my @tokens;
for my $job (@$jobs) {
    my $key;
    if (ref $job->{key}) {
        $key = $job->{key}{secret};
    } else {
        open my $file, '<', $job->{key} or die "$job->{key}: $!";
        my $pem = do { local $/; <$file> };
        $key = \$pem;
    }
    push @tokens, encode_jwt(payload => $job->{claims}, alg => $job->{alg}, key => $key, extra_headers => $job->{headers} // {});
}
print encode_json(\@tokens);
