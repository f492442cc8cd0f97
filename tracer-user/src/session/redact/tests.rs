//! What goes and what stays, as a table.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Arguments are written apart by `¦`, so that blanks within one can be seen.
fn argv(line: &str) -> Vec<Vec<u8>> {
    line.split('¦')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

fn redacted(line: &str) -> (String, u32) {
    let mut words = argv(line);
    let count = redact_argv(&mut words);
    let words: Vec<_> = words
        .iter()
        .map(|word| String::from_utf8_lossy(word))
        .collect();
    (words.join("¦"), count)
}

/// Each line with the secrets in it between `«` and `»`.
const SECRETS: &[&str] = &[
    // Options, in both forms.
    "mysql¦--password=«hunter2»¦db",
    "tool¦--password¦«hunter2»¦--verbose",
    "tool¦--password¦«-Hunter2»",
    "tool¦-password¦«hunter2»",
    "tool¦--api-key=«abc»¦--apiKey¦«abc»¦--API_KEY=«abc»",
    "tool¦--token¦«t0ken»¦--auth-token=«x y&z»",
    "tool¦--client-secret¦«s»¦--client_secret=«s»¦--clientsecret=«s»",
    "gpg¦--passphrase¦«correct horse»",
    "java¦-Djavax.net.ssl.keyStorePassword=«changeit»¦-jar¦a.jar",
    "aws¦--secret-access-key¦«abc/def+ghi»",
    "tool¦--secret-key=«/abc+def»",
    "tool¦--private-key=«MIIEvAIBADAN»",
    "tool¦--pass¦«xyz»¦--smtp-pass=«xyz»",
    "openssl¦rsa¦-passin¦pass:«x»",
    "httpie¦--auth¦user:«x»",
    "npm¦config¦//registry.npmjs.org/:_authToken=«abc»",
    "npm¦config¦//registry.npmjs.org/:_auth=«abc»",
    // Assignments.
    "env¦PGPASSWORD=«a b»¦psql",
    "env¦AWS_SECRET_ACCESS_KEY=«abc»¦AWS_ACCESS_KEY_ID=id¦aws",
    "docker¦run¦-ePASSWORD=«x»¦-e¦MYSQL_PWD=«x»¦--env=GITHUB_TOKEN=«x»¦-p¦80:80¦img",
    "sh¦-c¦PASSWORD=«x» make all",
    "sh¦-c¦export TOKEN='«a b»'; make",
    "sh¦-c¦export TOKEN=\"«a\\\"b»\"; make",
    "kubectl¦create¦secret¦generic¦n¦--from-literal=password=«x»",
    "helm¦--set¦a=1,auth.password=«x»,b=2",
    "mount¦-o¦username=u,password=«x»,uid=1",
    "tool¦Server=db;User Id=sa;Password=«x y»;",
    "tool¦DefaultEndpointsProtocol=https;AccountKey=«abc==»;EndpointSuffix=x",
    "python3¦-c¦password = \"«x»\"\nprint(1)",
    // Headers and bodies.
    "curl¦-H¦Authorization: Bearer «abc»¦https://h/",
    "curl¦-H¦authorization: «abc»",
    "curl¦-HX-Api-Key: «abc»",
    "curl¦--header=X-Auth-Token: «abc»",
    "curl¦-H¦Cookie: «sid=1; b=2»",
    "git¦-c¦http.extraHeader=Authorization: Basic «dTpw»¦fetch",
    "sh¦-c¦curl -H 'PRIVATE-TOKEN: «abc»' https://h/",
    "curl¦-d¦{\"user\":\"u\",\"password\":\"«x»\",\"n\":1}",
    "curl¦-d¦{\"token\" : «12345», \"n\":1}",
    "sh¦-c¦curl -d \"{\\\"password\\\":\\\"«x»\\\"}\" h",
    "curl¦https://h/p?user=u&access_token=«abc»&n=1",
    "curl¦https://a.blob.core.windows.net/c?sv=1&sig=«abc%3D»&se=2",
    // Addresses.
    "psql¦postgres://user:«p@ss»@host:5432/db",
    "git¦clone¦https://oauth2:«abc»@gitlab.com/a.git",
    "redis-cli¦-u¦redis://:«abc»@host",
    "psql¦postgres://user:«pa/ss»@host/db",
    "psql¦postgres://user:«hunt»",
    "git¦clone¦https://«0123456789abcdef0123»@github.com/a.git",
    // Shapes.
    "x¦«ghp_0123456789abcdefghijABCDEFGHIJ012345»",
    "x¦a=«github_pat_11ABCDEFG0123456789_abc»,b",
    "x¦«sk-proj-abcdefghijklmnop0123456789»",
    "x¦«sk-ant-api03-AbCdEfGhIjKlMnOpQrSt01»",
    "x¦«AKIAIOSFODNN7EXAMPLE»",
    "x¦«xoxb-123456789012-abcdef»",
    "x¦https://hooks.slack.com/services/«T00000000/B00000000/XXXXXXXX1»",
    "x¦«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4»",
    "x¦«eyJhbGciOiJIUzI1NiIsInR5cCI6»",
    "x¦-----BEGIN RSA PRIVATE KEY-----«\nMIIE\n»-----END RSA PRIVATE KEY-----",
    "x¦-----BEGIN OPENSSH PRIVATE KEY-----«b3Bl»",
    "x¦say bearer «abcdefgh12345678»",
    // Programs.
    "mysql¦-u¦root¦-p«hunter2»¦db",
    "/usr/bin/mysqldump¦-p«x»",
    "sudo¦mysql¦-p«x»",
    "sh¦-c¦mysql -uroot -p«x» db; echo",
    "sh¦-c¦ssh host 'mysql -p«x» db' && true",
    "sshpass¦-p¦«x»¦ssh¦-p¦2222¦host",
    "sshpass¦-p«x»¦ssh¦-p¦2222¦host",
    "curl¦-u¦user:«x»¦https://h/",
    "curl¦-sSu¦user:«x»",
    "curl¦--user=user:«x»",
    "redis-cli¦-a¦«x»¦ping",
    "docker¦login¦-u¦me¦-p¦«x»¦registry",
    "smbclient¦-U¦user%«x»",
    "unzip¦-P¦«x»¦a.zip",
    "ldapsearch¦-D¦cn=a¦-w¦«x»",
    "openssl¦enc¦-aes-256-cbc¦-k¦«x»",
    "bash¦-c¦tool --password '«a b»' --next",
    "bash¦-c¦tool --token «abc»; other",
];

/// What only looks like one.
const HARMLESS: &[&str] = &[
    "tool¦--password-file¦/run/x¦--password-stdin",
    "tool¦--password-file=/run/x¦PASSWORD_FILE=/x",
    "tool¦--token-limit=5¦--max-tokens¦100¦--max-token=5¦--tokenizer=bpe",
    "llm¦--eos-token=</s>¦--pad-token¦x",
    "tool¦--no-password¦db¦--ask-pass¦host¦--use-token¦x",
    "tool¦--password¦--host=h",
    "tool¦--token¦-v",
    "tool¦--password=¦--secret=true¦--token=none¦--password=********",
    "ffmpeg¦-pass¦1¦-passlogfile¦x",
    "openssl¦rsa¦-passin¦file:/run/x¦-passout¦env:X¦-pass¦stdin",
    "ssh¦-p¦2222¦host",
    "docker¦run¦-p¦80:80¦-v¦secret:/run/secret¦-u¦1000:1000¦img",
    "docker¦build¦--secret¦id=npm,src=/x",
    "kubectl¦create¦secret¦generic¦name",
    "vault¦token¦lookup",
    "sudo¦-u¦user¦id",
    "mysql¦-p¦db",
    "mkdir¦-p¦dir",
    "env¦PWD=/home/u¦OLDPWD=/x¦GOOGLE_APPLICATION_CREDENTIALS=/x/key.json¦env",
    "tool¦--private-key¦~/.ssh/id¦--private-key=key.pem¦--key=k¦--keyfile=x",
    "tool¦--compass=n¦--bypass=1¦--passes=3¦--multipass¦x",
    "tool¦--author=me¦--authority=x¦--auth=basic",
    "sh¦-c¦curl -H \"Authorization: Bearer $TOKEN\" --password \"${PASSWORD}\" -u u:$(cat x)",
    "sh¦-c¦TOKEN=$(cat /run/token) make",
    "sh¦-c¦mysql --password $PASSWORD",
    "python3¦-c¦token=os.environ['TOKEN']; password = getpass()",
    "python3¦-c¦if password == other: pass",
    "git¦commit¦-m¦Fix the password: allow nothing",
    "curl¦https://host:8080/a?b=c¦http://[::1]:80/¦https://user@host/¦ssh://git@host:22/x",
    "curl¦http://host:8080¦http://$HOST:$PORT/",
    "x¦task-0123456789abcdef0123¦sk-learn-contrib-2024-01¦disk-0123456789abcdef0123",
    "x¦ghp_short¦AKIA¦xoxb-none",
    "x¦eyJ¦eyJhbGci¦eyelid",
    "x¦-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    "x¦-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----",
    "x¦12:30:45¦a::b¦C:\\x¦key=value¦=¦:¦¦--¦-¦--=x",
    "grep¦-rn¦password¦src",
    "cargo¦test¦token",
    "gpg¦--list-secret-keys",
];

#[test]
fn secrets_go_and_everything_else_stays() {
    let mut wrong = Vec::new();
    for line in SECRETS {
        let bare = line.replace(['«', '»'], "");
        let mut wanted = String::new();
        let mut count = 0;
        for (at, part) in line.split('«').enumerate() {
            let rest = match part.split_once('»') {
                Some((_, rest)) if at > 0 => {
                    count += 1;
                    wanted.push_str("[redacted]");
                    rest
                }
                _ => part,
            };
            wanted.push_str(rest);
        }
        let found = redacted(&bare);
        if found != (wanted, count) {
            wrong.push((line, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    let found = HARMLESS.iter().map(|line| (line, redacted(line)));
    let wrong: Vec<_> = found.filter(|(_, (_, count))| *count > 0).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_command_line_keeps_its_nuls_and_its_odd_bytes() {
    let mut line = b"\xff\0--token\0s\xfe\0\0x\0".to_vec();
    assert_eq!(redact_cmdline(&mut line), 1);
    assert_eq!(line, b"\xff\0--token\0[redacted]\0\0x\0");
    let mut title = b"server: --password=x y".to_vec();
    assert_eq!(redact_cmdline(&mut title), 1);
    assert_eq!(title, b"server: --password=[redacted] y");
}

#[test]
fn switched_off_nothing_changes() {
    let mut words = argv("tool¦--password=x");
    assert_eq!(Redactor::new(false).argv(&mut words), 0);
    assert_eq!(words, argv("tool¦--password=x"));
}

#[test]
fn a_long_command_line_takes_no_longer_than_its_length() {
    for piece in [
        "password=",
        "://a:b/",
        "\"pwd\":\"/",
        "Cookie: none\r",
        "-----BEGIN ",
        "mysql -p ",
        "'\"",
        "eyJ.",
        "a:",
    ] {
        let mut words = vec![piece.repeat((1 << 18) / piece.len()).into_bytes()];
        let began = std::time::Instant::now();
        redact_argv(&mut words);
        // Unoptimised, on a busy machine; anything quadratic takes minutes.
        assert!(
            began.elapsed() < std::time::Duration::from_secs(15),
            "{piece:?}"
        );
    }
}

/// Pieces that the rules are made of, so that they meet each other.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"--password",
        b"=",
        b":",
        b" ",
        b"'",
        b"\"",
        b"\\\"",
        b"token",
        b"https://",
        b"@",
        b"/",
        b"mysql",
        b"-p",
        b"$X",
        b"[redacted]",
        b"Authorization: ",
        b"Bearer ",
        b"ghp_0123456789abcdef",
        b"&",
        b",",
        b"-c",
        b"curl",
        b"-u",
        b"eyJhbGciOiJIUzI1NiJ9",
        b"-----BEGIN PRIVATE KEY-----",
        b"\xff",
        b"id=",
        b"\n",
        b";",
        b"?sig",
        b"x1",
        b"pass:",
    ];
    prop_oneof![
        4 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn twice_is_once_and_the_number_of_words_stays(
        words in vec(vec(piece(), 0..8).prop_map(|pieces| pieces.concat()), 0..6),
    ) {
        let mut once = words.clone();
        redact_argv(&mut once);
        prop_assert_eq!(once.len(), words.len());
        let mut twice = once.clone();
        prop_assert_eq!(redact_argv(&mut twice), 0, "{:?}", once);
        prop_assert_eq!(&twice, &once);
    }

    #[test]
    fn nothing_is_counted_when_nothing_changes(words in vec(vec(any::<u8>(), 0..30), 0..6)) {
        let mut after = words.clone();
        let count = redact_argv(&mut after);
        prop_assert_eq!(count == 0, after == words);
    }
}
